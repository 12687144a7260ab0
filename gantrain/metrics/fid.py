"""Frechet inception distance (Heusel et al. 2017, arXiv 1706.08500), in float64."""

import torch

from gantrain.metrics.moments import Moments


def fid(real: Moments, fake: Moments) -> float:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), at least 0.

    The eigenvalues of S1 S2 are those of the symmetric S1^(1/2) S2 S1^(1/2). Their roots are stable
    even for a singular covariance, as with fewer samples than dimensions.
    """
    values, vectors = torch.linalg.eigh(real.cov)
    real_root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = real_root @ fake.cov @ real_root
    # Rounding makes the product slightly asymmetric, and its smallest eigenvalues negative.
    eigenvalues = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0)
    mean_term = (real.mean - fake.mean).square().sum()
    distance = mean_term + real.cov.trace() + fake.cov.trace() - 2 * eigenvalues.sqrt().sum()
    return max(float(distance), 0.0)
