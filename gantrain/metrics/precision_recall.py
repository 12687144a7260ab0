"""How many fakes look real, and how much of the real variety is met.

Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020. Both take
for the set a union of balls, each about a sample and as large as reaching its k-th nearest other.
"""

import torch
from torch import Tensor

K = 3  # of precision and recall
K_DENSITY = 5  # of density and coverage, as their authors have it


def precision_recall(real: Tensor, fake: Tensor, k: int = K, chunk: int = 2048) -> dict[str, float]:
    """{"precision", "recall"} of features [N, d] and [M, d], each in [0, 1]."""
    return {
        "precision": float(_inside(fake, real, radii(real, k, chunk), chunk).gt(0).double().mean()),
        "recall": float(_inside(real, fake, radii(fake, k, chunk), chunk).gt(0).double().mean()),
    }


def density_coverage(
    real: Tensor, fake: Tensor, k: int = K_DENSITY, chunk: int = 2048
) -> dict[str, float]:
    """{"density" (about 1 where the sets agree, may be more), "coverage" in [0, 1]}."""
    reach = radii(real, k, chunk)
    density = float(_inside(fake, real, reach, chunk).double().mean()) / k
    nearest = torch.cat([_distances(part, fake, chunk, 1)[:, 0] for part in real.split(chunk)])
    return {"density": density, "coverage": float((nearest <= reach).double().mean())}


def radii(x: Tensor, k: int, chunk: int) -> Tensor:
    """[N]: the squared distance of every sample to its k-th nearest other.

    Raises ValueError for N <= k.
    """
    if len(x) <= k:
        raise ValueError(f"The {k}-th nearest other needs more than {k} samples, not {len(x)}.")
    # The nearest of all is the sample itself.
    return torch.cat([_distances(part, x, chunk, k + 1)[:, k] for part in x.split(chunk)])


def _distances(x: Tensor, y: Tensor, chunk: int, count: int) -> Tensor:
    """[N, count]: the `count` smallest squared distances of every x to the ys, ascending."""
    best = torch.empty(len(x), 0, dtype=torch.float64, device=x.device)
    for part in y.split(chunk):
        found = torch.cat([best, _apart(x, part)], 1)
        best = found.topk(min(count, found.shape[1]), largest=False).values
    return best


def _inside(x: Tensor, centres: Tensor, reach: Tensor, chunk: int) -> Tensor:
    """[N]: in how many of the balls every x lies."""
    counts = []
    for part in x.split(chunk):
        found = torch.zeros(len(part), dtype=torch.long, device=x.device)
        for some, their in zip(centres.split(chunk), reach.split(chunk), strict=True):
            found += (_apart(part, some) <= their).sum(1)
        counts.append(found)
    return torch.cat(counts)


def _apart(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances [N, M], float64."""
    x, y = x.double(), y.double()
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return squares.clamp(min=0)
