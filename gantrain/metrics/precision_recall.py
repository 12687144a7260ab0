"""The share of fakes that look real, and the share of real variety that fakes cover.

Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991); density and coverage: Naeem et
al. 2020 (arXiv 2002.09797). Both estimate the support of a set by balls around its samples, whose
radius is the distance to the k-th nearest neighbour.
"""

import torch
from torch import Tensor

K = 3  # of precision and recall
K_DENSITY = 5  # of density and coverage, as in their paper


def precision_recall(real: Tensor, fake: Tensor, k: int = K, chunk: int = 2048) -> dict[str, float]:
    """Return {"precision": ..., "recall": ...}, each in [0, 1].

    Args:
        real: features [N, d], N > k.
        fake: features [M, d], M > k.
        k: the neighbour that sets the radius.
        chunk: samples compared at once; bounds the memory.

    Raises:
        ValueError: too few samples.
    """
    fake_in_real = _count_balls(fake, real, squared_radii(real, k, chunk), chunk)
    real_in_fake = _count_balls(real, fake, squared_radii(fake, k, chunk), chunk)
    return {
        "precision": float(fake_in_real.gt(0).double().mean()),
        "recall": float(real_in_fake.gt(0).double().mean()),
    }


def density_coverage(
    real: Tensor, fake: Tensor, k: int = K_DENSITY, chunk: int = 2048
) -> dict[str, float]:
    """Return {"density": ..., "coverage": ...}.

    Density is about 1 for equal distributions and may exceed it; coverage is in [0, 1].

    Args:
        real: features [N, d], N > k.
        fake: features [M, d].
        k: the neighbour that sets the radius.
        chunk: samples compared at once; bounds the memory.

    Raises:
        ValueError: too few real samples.
    """
    radii = squared_radii(real, k, chunk)
    density = float(_count_balls(fake, real, radii, chunk).double().mean()) / k
    nearest = torch.cat([_smallest(part, fake, chunk, 1)[:, 0] for part in real.split(chunk)])
    return {"density": density, "coverage": float((nearest <= radii).double().mean())}


def squared_radii(x: Tensor, k: int, chunk: int) -> Tensor:
    """Return the squared distances [N] of samples [N, d] to their k-th nearest neighbours.

    Raises:
        ValueError: N <= k.
    """
    if len(x) <= k:
        raise ValueError(f"The {k}-th nearest neighbour needs more than {k} samples, not {len(x)}.")
    # The nearest sample is the sample itself, hence k + 1.
    return torch.cat([_smallest(part, x, chunk, k + 1)[:, k] for part in x.split(chunk)])


def _smallest(x: Tensor, y: Tensor, chunk: int, count: int) -> Tensor:
    """Return the `count` smallest squared distances of every x to y, ascending, [N, count]."""
    smallest = torch.empty(len(x), 0, dtype=torch.float64, device=x.device)
    for part in y.split(chunk):
        candidates = torch.cat([smallest, _squared_distances(x, part)], 1)
        smallest = candidates.topk(min(count, candidates.shape[1]), largest=False).values
    return smallest


def _count_balls(x: Tensor, centres: Tensor, radii: Tensor, chunk: int) -> Tensor:
    """Return the number of balls that every x lies in, [N]; `radii` are squared."""
    counts = []
    for x_part in x.split(chunk):
        count = torch.zeros(len(x_part), dtype=torch.long, device=x.device)
        for centre_part, radii_part in zip(centres.split(chunk), radii.split(chunk), strict=True):
            count += (_squared_distances(x_part, centre_part) <= radii_part).sum(1)
        counts.append(count)
    return torch.cat(counts)


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """[N, d], [M, d] -> [N, M], float64."""
    x, y = x.double(), y.double()
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return squares.clamp(min=0)
