"""Do generated pictures resemble training pictures more than unseen real ones do?

It cannot be proved either way from distances (Stein et al. 2023, arXiv 2306.04675, compare such
scores): who asks gets pairs to look at, and a word of suspicion.
"""

from dataclasses import dataclass
from math import comb

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 16  # pictures are compared at this many pixels
RARE = 0.01  # the share of unseen real pictures that may be as near
SHARE, CHANCE = 0.05, 1e-3  # suspicion: from this share of the samples on, less likely than this
RANK, SIGMAS = 0.65, 4.0  # or from this rank on, so many standard deviations from 1/2


def embed(images: Tensor) -> Tensor:
    """[N, C, H, W] in [-1, 1] -> [N, D], of which distances are taken."""
    h, w = (min(SIDE, side) for side in images.shape[2:])
    small = F.adaptive_avg_pool2d(images.float(), (h, w))
    return small.flatten(1)


@dataclass(frozen=True)
class Nearest:
    """For each of N pictures the nearest training picture.

    distance [N]; index [N] of the training picture; ratio [N]: distance over that of the second
    nearest, near 0 where a picture is meant and near 1 where it is just near to many.
    """

    distance: Tensor
    index: Tensor
    ratio: Tensor


class NearestNeighborSearch:
    """Collects the two nearest training pictures of `samples` [N, D] while these pass by.

    Args:
        turned: the samples mirrored, where training mirrors, too; [N, D].
        own: [N], the number of each sample among the training pictures, which is passed over.
    """

    def __init__(
        self, samples: Tensor, turned: Tensor | None = None, own: Tensor | None = None
    ) -> None:
        self.samples, self.turned, self.own = samples, turned, own
        far = samples.new_full((len(samples), 2), torch.inf)
        self._best, self._index = far, torch.zeros(len(samples), dtype=torch.long)
        self._seen = 0

    def look(self, training: Tensor) -> None:
        """The next training pictures [M, D]."""
        distances = torch.cdist(self.samples, training)
        if self.turned is not None:
            distances = torch.minimum(distances, torch.cdist(self.turned, training))
        if self.own is not None:
            places = self.own - self._seen
            here = ((places >= 0) & (places < len(training))).nonzero()[:, 0]
            distances[here, places[here]] = torch.inf
        nearest, number = distances.min(1)
        self._index = torch.where(nearest < self._best[:, 0], number + self._seen, self._index)
        both = torch.cat([self._best, distances], 1)
        self._best = both.topk(2, dim=1, largest=False).values
        self._seen += len(training)

    def result(self) -> Nearest:
        """After the last of them; there must have been two or more."""
        first, second = self._best.unbind(1)
        return Nearest(first, self._index, first / second.clamp_min(1e-12))


@dataclass(frozen=True)
class MemorizationResult:
    """How many samples are nearer to one training picture than unseen real pictures are.

    count of `total`; expected: the share that chance gives; chance: the probability of as many.
    rank: the probability that a sample's ratio is below that of an unseen picture (Mann and Whitney
    1947), 1/2 if they are alike; sigmas: its distance from 1/2 in standard deviations.
    """

    count: int
    total: int
    expected: float
    chance: float
    rank: float
    sigmas: float
    order: list[int]  # samples, the most suspicious first

    @property
    def suspect(self) -> bool:
        some = self.count >= SHARE * self.total and self.chance < CHANCE
        return some or (self.rank >= RANK and self.sigmas >= SIGMAS)


def assess_memorization(samples: Nearest, unseen: Nearest) -> MemorizationResult:
    """A sample counts if both its distance and its ratio are below nearly all of the unseen.

    Blurred pictures are near to all training pictures, and so the distance alone tells nothing;
    noisy copies are far from all of them, and only their ratios are low on the whole.
    """
    expected = max(RARE, 1 / (len(unseen.distance) + 1))
    near, single = (_low(x, expected) for x in (unseen.distance, unseen.ratio))
    counts = (samples.distance < near) & (samples.ratio < single)
    total, count = len(counts), int(counts.sum())
    score = samples.ratio + (~counts).float()
    chance = _at_least(count, total, expected)
    rank, sigmas = _rank(samples.ratio, unseen.ratio)
    return MemorizationResult(
        count, total, expected, chance, rank, sigmas, score.argsort().tolist()
    )


def _rank(x: Tensor, y: Tensor) -> tuple[float, float]:
    """P(x < y), ties counting half, and its distance from 1/2 in standard deviations."""
    below = (x[:, None] < y).double() + 0.5 * (x[:, None] == y).double()
    deviation = ((len(x) + len(y) + 1) / (12 * len(x) * len(y))) ** 0.5
    return float(below.mean()), (float(below.mean()) - 0.5) / deviation


def _low(x: Tensor, share: float) -> float:
    """What about `share` of x is below."""
    return float(x.sort().values[max(0, int(share * (len(x) + 1)) - 1)])


def _at_least(count: int, total: int, p: float) -> float:
    """Probability of `count` or more successes of `total` at chance p."""
    return min(1.0, sum(_binomial(k, total, p) for k in range(count, total + 1)))


def _binomial(k: int, n: int, p: float) -> float:
    return comb(n, k) * p**k * (1 - p) ** (n - k)
