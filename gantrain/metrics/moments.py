"""Mean and covariance of features, added up in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """mean [d] and cov [d, d] (of a sample: divided by count - 1), float64."""

    count: int
    mean: Tensor
    cov: Tensor


def moments(features: Tensor, chunk: int = 4096) -> Moments:
    """Of features [N, d]; about the mean, so that nothing cancels. Raises ValueError for N < 2."""
    count = len(features)
    if count < 2:
        raise ValueError(f"A covariance needs at least 2 samples, not {count}.")
    total = sum(part.double().sum(0) for part in features.split(chunk))
    assert isinstance(total, Tensor)
    mean = total / count
    dim = features.shape[1]
    cov = torch.zeros(dim, dim, dtype=torch.float64, device=features.device)
    for part in features.split(chunk):
        centred = part.double() - mean
        cov.addmm_(centred.T, centred)
    return Moments(count, mean, cov / (count - 1))
