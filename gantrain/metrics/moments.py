"""Mean and covariance of features, accumulated in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a set of features, float64.

    Args:
        count: number of samples.
        mean: [d].
        cov: [d, d], divided by count - 1.
    """

    count: int
    mean: Tensor
    cov: Tensor


def moments(features: Tensor, chunk: int = 4096) -> Moments:
    """Return mean and covariance of features [N, d], `chunk` samples at a time.

    Two passes: the covariance is summed about the mean, so that nothing cancels.

    Raises:
        ValueError: fewer than 2 samples.
    """
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
