"""A linear classifier: logistic regression in float64, with its accuracy on samples held out."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

L2 = 1e-3  # weight of |v|^2 / 2: a boundary exists also where the sides can be separated
HELD_OUT = 5  # every fifth sample of each side is held out
STEPS = 500  # of L-BFGS at most


@dataclass(frozen=True)
class LinearClassifier:
    """score(x) = normal x + offset, above 0 on the positive side.

    Attributes:
        normal: float64 [D].
        offset: of the score.
        accuracy: on the samples held out; the mean of both sides', so that guessing has 0.5.
    """

    normal: Tensor
    offset: float
    accuracy: float

    def score(self, x: Tensor) -> Tensor:
        """[N, D] -> float64 [N]."""
        return x.double() @ self.normal + self.offset


def fit(x: Tensor, positive: Tensor) -> LinearClassifier:
    """Fit a classifier to four fifths of the samples of each side, and test it on the others.

    Args:
        x: samples [N, D], on the CPU.
        positive: bool [N]; two or more samples of each side.

    Raises:
        ValueError: a side has fewer than two samples.
    """
    if min(int(positive.sum()), int((~positive).sum())) < 2:
        raise ValueError("Each side needs two or more samples.")
    x = x.double()
    held_out = torch.zeros_like(positive)
    generator = torch.Generator().manual_seed(0)
    for side in (positive, ~positive):
        members = side.nonzero()[:, 0]
        order = torch.randperm(len(members), generator=generator)
        held_out[members[order[: max(1, len(members) // HELD_OUT)]]] = True
    seen, of_seen = x[~held_out], positive[~held_out]
    # One factor for all entries, since a factor for each would turn the boundary's normal.
    mean = seen.mean(0)
    spread = (seen - mean).square().mean().sqrt().clamp_min(1e-12)
    v, b = logistic_regression((seen - mean) / spread, of_seen)
    normal = v / spread
    classifier = LinearClassifier(normal, float(b - normal @ mean), accuracy=0.5)
    correct = (classifier.score(x) > 0) == positive
    sides = [correct[held_out & side].double().mean() for side in (positive, ~positive)]
    return LinearClassifier(normal, classifier.offset, float(sum(sides) / 2))


def logistic_regression(x: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Return v [D] and b [] that minimize the logistic loss, by L-BFGS.

    loss = (mean over positive x of log(1 + exp(-s)) + mean over negative x of log(1 + exp(s))) / 2
    + L2 |v|^2 / 2, with s = v x + b: both sides have the same weight, whatever their number.

    Args:
        x: float64 [N, D].
        positive: bool [N].
    """
    v = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros([], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [v, b],
        max_iter=STEPS,
        tolerance_grad=1e-9,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        s = x @ v + b
        value = (F.softplus(-s[positive]).mean() + F.softplus(s[~positive]).mean()) / 2
        value = value + L2 / 2 * v.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[arg-type]
    return v.detach(), b.detach()
