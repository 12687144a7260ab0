"""Kernel inception distance (Binkowski et al. 2018): unbiased, so small sets may be compared."""

import torch
from torch import Tensor


def kid(real: Tensor, fake: Tensor, chunk: int = 2048) -> float:
    """Unbiased squared MMD over all samples of [N, d] and [M, d], kernel (x.y / d + 1)^3.

    Raises ValueError for fewer than 2 samples.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        raise ValueError(f"KID needs at least 2 samples of each, not {n} and {m}.")
    within_real = _off_diagonal(real, chunk) / (n * (n - 1))
    within_fake = _off_diagonal(fake, chunk) / (m * (m - 1))
    return within_real + within_fake - 2 * _sum(real, fake, chunk) / (n * m)


def kid_spread(
    real: Tensor, fake: Tensor, seed: int, subsets: int = 100, size: int = 1000
) -> float:
    """Standard deviation of KID over random subsets of at most half a set (without replacement).

    The subsets share samples: it says how stable the number is, and is no confidence interval.
    """
    size = max(2, min(size, len(real) // 2, len(fake) // 2))
    draw = torch.Generator().manual_seed(seed)
    values = [
        kid(
            real[torch.randperm(len(real), generator=draw)[:size]],
            fake[torch.randperm(len(fake), generator=draw)[:size]],
        )
        for _ in range(subsets)
    ]
    return float(torch.tensor(values, dtype=torch.float64).std())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def _sum(x: Tensor, y: Tensor, chunk: int) -> float:
    return sum(float(_kernel(a, b).sum()) for a in x.split(chunk) for b in y.split(chunk))


def _off_diagonal(x: Tensor, chunk: int) -> float:
    diagonal = (x.double().square().sum(1) / x.shape[1] + 1) ** 3
    return _sum(x, x, chunk) - float(diagonal.sum())
