"""Logistic regression against Newton's method, and its held-out accuracy."""

import numpy as np
import pytest
import torch

from gantrain.inference import linear_classifier
from gantrain.inference.linear_classifier import (
    L2,
    logistic_regression,
    support_vector_machine,
)


def newton(x: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(v, b) at which the gradient of the weighted logistic loss is 0."""
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    share = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    decay = L2 * np.diag([*[1.0] * x.shape[1], 0.0])
    theta = np.zeros(ones.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-ones @ theta))
        gradient = ones.T @ (share * (p - positive)) + decay @ theta
        hessian = ones.T @ (ones * (share * p * (1 - p))[:, None]) + decay
        theta = theta - np.linalg.solve(hessian, gradient)
    return theta


def test_it_finds_the_minimum() -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 4, dtype=torch.float64)
    positive = x[:, 0] + 0.5 * x[:, 1] + 0.7 * torch.randn(300) > 0.8  # fewer than the others
    v, b = logistic_regression(x, positive)
    expected = newton(x.numpy(), positive.numpy())
    np.testing.assert_allclose([*v.tolist(), float(b)], expected, rtol=1e-6)


def hinge(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """1/2 |v|^2 + C * sum of max(0, 1 - y s)^2 with C = 1, as in the textbook."""
    score = x @ theta[:-1] + theta[-1]
    return 0.5 * theta[:-1] @ theta[:-1] + (np.maximum(0, 1 - y * score) ** 2).sum()


def least_hinge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(v, b) by Newton's method: the loss is a quadratic of the samples within the margin."""
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    decay = np.diag([*[1.0] * x.shape[1], 0.0])
    theta = np.zeros(ones.shape[1])
    for _ in range(100):
        inside = y * (ones @ theta) < 1
        step = np.linalg.solve(
            decay + 2 * ones[inside].T @ ones[inside],
            decay @ theta - 2 * ones[inside].T @ (y - ones @ theta)[inside],
        )
        rate = 1.0
        while hinge(theta - rate * step, x, y) > hinge(theta, x, y) and rate > 1e-6:
            rate /= 2
        theta = theta - rate * step
    return theta


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_the_machine_has_the_least_squared_hinge_loss(gap: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 4, dtype=torch.float64)
    positive = x[:, 0] + 0.5 * x[:, 1] + (0.5 - gap / 2) * torch.randn(300) > 0.8
    x[:, 0] += gap * torch.where(positive, 1.0, -1.0)
    v, b = support_vector_machine(x, positive)
    y = np.where(positive.numpy(), 1.0, -1.0)
    expected = least_hinge(x.numpy(), y)
    np.testing.assert_allclose([*v.tolist(), float(b)], expected, rtol=1e-5, atol=1e-7)


def test_a_known_boundary() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(2000, 5) + 2
    normal = torch.tensor([1.0, -2, 0, 0, 2]) / 3
    found = linear_classifier.fit(x, x @ normal > 1)
    assert float(found.normal.float() @ normal / found.normal.norm()) > 0.999
    assert float(-found.offset / found.normal.norm()) == pytest.approx(1, abs=0.1)
    assert found.accuracy > 0.97
    assert torch.equal(found.score(x) > 0, x.double() @ found.normal > -found.offset)


def test_what_cannot_be_learned_is_guessed() -> None:
    torch.manual_seed(0)
    x, positive = torch.randn(1000, 3), torch.rand(1000) < 0.1  # always "no" has 0.5, not 0.9
    assert linear_classifier.fit(x, positive).accuracy == pytest.approx(0.5, abs=0.15)


def test_one_sample_is_not_enough() -> None:
    with pytest.raises(ValueError, match="two or more"):
        linear_classifier.fit(torch.randn(5, 2), torch.arange(5) > 3)
