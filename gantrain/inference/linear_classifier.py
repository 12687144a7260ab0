"""Linear classifiers in float64: logistic regression, and support vector machines."""

from collections.abc import Callable
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
    held_out = _drawn(positive, lambda count: max(1, count // HELD_OUT))
    normal, offset = _fit_scaled(logistic_regression, x[~held_out], positive[~held_out])
    classifier = LinearClassifier(normal, offset, accuracy=0.5)
    correct = (classifier.score(x) > 0) == positive
    sides = [correct[held_out & side].double().mean() for side in (positive, ~positive)]
    return LinearClassifier(normal, classifier.offset, float(sum(sides) / 2))


def predict_halves(x: Tensor, positive: Tensor) -> Tensor:
    """Predict the side of each sample by a support vector machine that has not seen it.

    The samples are split into two halves, with equal shares of each side; the machine of one half
    predicts the other.

    Args:
        x: samples [N, D], on the CPU.
        positive: bool [N].

    Returns:
        bool [N].
    """
    x = x.double()
    first = _drawn(positive, lambda count: count // 2)
    predicted = torch.zeros_like(positive)
    for half in (first, ~first):
        normal, offset = _fit_scaled(support_vector_machine, x[half], positive[half])
        predicted[~half] = x[~half] @ normal + offset > 0
    return predicted


def _drawn(positive: Tensor, share: Callable[[int], int]) -> Tensor:
    """Return whether each sample is one of the `share(count)` drawn from its side, bool [N]."""
    drawn = torch.zeros_like(positive)
    generator = torch.Generator().manual_seed(0)
    for side in (positive, ~positive):
        members = side.nonzero()[:, 0]
        order = torch.randperm(len(members), generator=generator)
        drawn[members[order[: share(len(members))]]] = True
    return drawn


def _fit_scaled(
    method: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, positive: Tensor
) -> tuple[Tensor, float]:
    """Return normal [D] and offset of the score of `method`, fitted to x with unit variance."""
    # One factor for all entries, since a factor for each would turn the boundary's normal.
    mean = x.mean(0)
    spread = (x - mean).square().mean().sqrt().clamp_min(1e-12)
    v, b = method((x - mean) / spread, positive)
    normal = v / spread
    return normal, float(b - normal @ mean)


def logistic_regression(x: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Return v [D] and b [] that minimize the logistic loss, by L-BFGS.

    loss = (mean over positive x of log(1 + exp(-s)) + mean over negative x of log(1 + exp(s))) / 2
    + L2 |v|^2 / 2, with s = v x + b: both sides have the same weight, whatever their number.

    Args:
        x: float64 [N, D].
        positive: bool [N].
    """

    def loss(v: Tensor, b: Tensor) -> Tensor:
        s = x @ v + b
        value = (F.softplus(-s[positive]).mean() + F.softplus(s[~positive]).mean()) / 2
        return value + L2 / 2 * v.square().sum()

    return _minimize(loss, x.shape[1])


def support_vector_machine(x: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Return v [D] and b [] of the support vector machine with squared hinge loss and C = 1.

    loss = mean over x of max(0, 1 - y s)^2 + |v|^2 / (2 N), with s = v x + b, and y = 1 on the
    positive side and -1 on the other: all samples have the same weight.

    Args:
        x: float64 [N, D].
        positive: bool [N].
    """
    y = positive.double() * 2 - 1

    def loss(v: Tensor, b: Tensor) -> Tensor:
        margin = y * (x @ v + b)
        return F.relu(1 - margin).square().mean() + v.square().sum() / (2 * len(x))

    return _minimize(loss, x.shape[1])


def _minimize(loss: Callable[[Tensor, Tensor], Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Return v [size] and b [] with the least loss(v, b), from 0 on."""
    v = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    b = torch.zeros([], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [v, b],
        max_iter=STEPS,
        tolerance_grad=1e-9,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(v, b)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[arg-type]
    return v.detach(), b.detach()
