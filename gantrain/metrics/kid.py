"""Kernel inception distance (Binkowski et al. 2018, arXiv 1801.01401).

Its estimator is unbiased, so values of small sets can be compared.
"""

import torch
from torch import Tensor


def kid(real: Tensor, fake: Tensor, chunk: int = 2048) -> float:
    """Return the unbiased squared MMD over all samples, with the kernel (x.y / d + 1)^3.

    Args:
        real: features [N, d].
        fake: features [M, d].
        chunk: rows of the kernel matrix computed at once; bounds the memory.

    Raises:
        ValueError: fewer than 2 samples.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        raise ValueError(f"KID needs at least 2 samples of each, not {n} and {m}.")
    within_real = _off_diagonal(real, chunk) / (n * (n - 1))
    within_fake = _off_diagonal(fake, chunk) / (m * (m - 1))
    return within_real + within_fake - 2 * _sum(real, fake, chunk) / (n * m)


def kid_std(real: Tensor, fake: Tensor, seed: int, subsets: int = 100, size: int = 1000) -> float:
    """Return the standard deviation of KID over random subsets, drawn without replacement.

    The subsets share samples, so it shows how stable the value is but is no confidence interval.

    Args:
        real: features [N, d].
        fake: features [M, d].
        seed: of the subsets.
        subsets: number of subsets.
        size: samples per subset, at most half of the smaller set.
    """
    size = max(2, min(size, len(real) // 2, len(fake) // 2))
    rng = torch.Generator().manual_seed(seed)
    values = [
        kid(
            real[torch.randperm(len(real), generator=rng)[:size]],
            fake[torch.randperm(len(fake), generator=rng)[:size]],
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
