"""Frechet inception distance (Heusel et al. 2017), float64."""

import torch

from gantrain.metrics.moments import Moments


def fid(real: Moments, fake: Moments) -> float:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), at least 0.

    The eigenvalues of S1 S2 are those of the symmetric S1^(1/2) S2 S1^(1/2), whose roots are stable
    also where a covariance is singular, as it is for fewer samples than dimensions.
    """
    values, vectors = torch.linalg.eigh(real.cov)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ fake.cov @ root
    spectrum = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0)
    gap = (real.mean - fake.mean).square().sum()
    distance = gap + real.cov.trace() + fake.cov.trace() - 2 * spectrum.sqrt().sum()
    return max(float(distance), 0.0)
