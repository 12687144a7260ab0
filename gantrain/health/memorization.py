"""Test whether generated images resemble training images more than unseen real ones do.

Distances prove nothing either way (Stein et al. 2023, arXiv 2306.04675, compare such scores): the
result is a suspicion, and pairs for the user to look at.
"""

from dataclasses import dataclass
from math import comb

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 16  # images are compared at this size in pixels
QUANTILE = 0.01  # of unseen real images, below which a sample counts as suspicious
# Suspicion: at least this share of samples counts, with a probability by chance below the other
SUSPECT_SHARE, SUSPECT_CHANCE = 0.05, 1e-3
# Or: at least this rank, and this many standard deviations from 1/2
SUSPECT_RANK, SUSPECT_SIGMAS = 0.65, 4.0


def embed(images: Tensor) -> Tensor:
    """Reduce images [N, C, H, W] in [-1, 1] to vectors [N, D], whose distances are compared."""
    h, w = (min(SIDE, side) for side in images.shape[2:])
    small = F.adaptive_avg_pool2d(images.float(), (h, w))
    return small.flatten(1)


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each of N images.

    Args:
        distance: [N].
        index: [N], of the training image.
        ratio: [N], distance over that to the second nearest: near 0 for a copy of one training
            image, near 1 for an image that is equally close to many.
    """

    distance: Tensor
    index: Tensor
    ratio: Tensor


class NearestNeighborSearch:
    """Search for the two nearest training images of samples, one chunk of training images a time.

    Args:
        samples: embeddings [N, D].
        mirrored: embeddings of the mirrored samples [N, D], if training mirrors its images.
        own_indices: [N], indices of the samples among the training images if they are some of
            these; a sample is not its own neighbour.
    """

    def __init__(
        self, samples: Tensor, mirrored: Tensor | None = None, own_indices: Tensor | None = None
    ) -> None:
        self.samples, self.mirrored, self.own_indices = samples, mirrored, own_indices
        self._best = samples.new_full((len(samples), 2), torch.inf)
        self._index = torch.zeros(len(samples), dtype=torch.long)
        self._count = 0

    def update(self, training: Tensor) -> None:
        """Compare with the next training images, embeddings [M, D]."""
        distances = torch.cdist(self.samples, training)
        if self.mirrored is not None:
            distances = torch.minimum(distances, torch.cdist(self.mirrored, training))
        if self.own_indices is not None:
            columns = self.own_indices - self._count
            rows = ((columns >= 0) & (columns < len(training))).nonzero()[:, 0]
            distances[rows, columns[rows]] = torch.inf
        nearest, index = distances.min(1)
        self._index = torch.where(nearest < self._best[:, 0], index + self._count, self._index)
        candidates = torch.cat([self._best, distances], 1)
        self._best = candidates.topk(2, dim=1, largest=False).values
        self._count += len(training)

    def result(self) -> Nearest:
        """Return the nearest among all training images so far, at least two."""
        nearest, second = self._best.unbind(1)
        return Nearest(nearest, self._index, nearest / second.clamp_min(1e-12))


@dataclass(frozen=True)
class MemorizationResult:
    """How many samples are closer to one training image than unseen real images are.

    Args:
        count: suspicious samples.
        total: all samples.
        expected: share of suspicious samples expected by chance.
        chance: probability of `count` or more by chance.
        rank: probability that a sample's ratio is below that of an unseen image (Mann and Whitney
            1947); 1/2 if samples and unseen images are alike.
        sigmas: distance of `rank` from 1/2 in standard deviations.
        order: indices of the samples, the most suspicious first.
    """

    count: int
    total: int
    expected: float
    chance: float
    rank: float
    sigmas: float
    order: list[int]

    @property
    def suspect(self) -> bool:
        """Whether memorization is suspected: by single samples, or by all ratios together."""
        by_count = self.count >= SUSPECT_SHARE * self.total and self.chance < SUSPECT_CHANCE
        by_rank = self.rank >= SUSPECT_RANK and self.sigmas >= SUSPECT_SIGMAS
        return by_count or by_rank


def assess_memorization(samples: Nearest, unseen: Nearest) -> MemorizationResult:
    """Compare the neighbours of samples with those of unseen real images.

    A sample is suspicious if both its distance and its ratio are below nearly all of the unseen
    images'. The distance alone says nothing, since blurred images are close to all training images.
    Noisy copies are far from all of them; they show in `rank`, as low ratios on the whole.

    Args:
        samples: neighbours of generated images.
        unseen: neighbours of real images that were not trained on.
    """
    expected = max(QUANTILE, 1 / (len(unseen.distance) + 1))
    max_distance = _quantile(unseen.distance, expected)
    max_ratio = _quantile(unseen.ratio, expected)
    suspicious = (samples.distance < max_distance) & (samples.ratio < max_ratio)
    total, count = len(suspicious), int(suspicious.sum())
    score = samples.ratio + (~suspicious).float()  # ratios are at most 1: suspicious ones first
    rank, sigmas = _rank(samples.ratio, unseen.ratio)
    return MemorizationResult(
        count=count,
        total=total,
        expected=expected,
        chance=_at_least(count, total, expected),
        rank=rank,
        sigmas=sigmas,
        order=score.argsort().tolist(),
    )


def _rank(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return P(x < y), ties counting half, and its distance from 1/2 in standard deviations."""
    below = (x[:, None] < y).double() + 0.5 * (x[:, None] == y).double()
    deviation = ((len(x) + len(y) + 1) / (12 * len(x) * len(y))) ** 0.5
    return float(below.mean()), (float(below.mean()) - 0.5) / deviation


def _quantile(x: Tensor, share: float) -> float:
    """Return the value that about `share` of x is below."""
    return float(x.sort().values[max(0, int(share * (len(x) + 1)) - 1)])


def _at_least(count: int, total: int, p: float) -> float:
    """Return the probability of `count` or more successes in `total` trials of probability p."""
    return min(1.0, sum(_binomial(k, total, p) for k in range(count, total + 1)))


def _binomial(k: int, n: int, p: float) -> float:
    return comb(n, k) * p**k * (1 - p) ** (n - k)
