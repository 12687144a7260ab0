"""Conditional entropy and separability against numpy and closed forms."""

import math

import numpy as np
import pytest
import torch

from gantrain.metrics.separability import conditional_entropy, separability


def plain_entropy(y: np.ndarray, x: np.ndarray) -> float:
    """H(Y|X) = sum over x of p(x) H(Y | X = x)."""
    total = 0.0
    for value in np.unique(x):
        _, counts = np.unique(y[x == value], return_counts=True)
        p = counts / counts.sum()
        total += (x == value).mean() * -(p * np.log(p)).sum()
    return total


@pytest.mark.parametrize("share", [0.5, 0.9, 0.0, 1.0])
def test_conditional_entropy_is_numpys(share: float) -> None:
    torch.manual_seed(0)
    x = torch.rand(500) < share
    y = x ^ (torch.rand(500) < torch.where(x, 0.3, 0.05))
    assert conditional_entropy(y, x) == pytest.approx(
        plain_entropy(y.numpy(), x.numpy()), abs=1e-12
    )


def test_what_is_known_and_what_is_not() -> None:
    y = torch.arange(8) < 4
    assert conditional_entropy(y, y) == 0 == conditional_entropy(y, ~y)
    unrelated = torch.arange(8) % 2 > 0
    assert conditional_entropy(y, unrelated) == pytest.approx(math.log(2), abs=1e-15)


def test_attributes_multiply() -> None:
    assert separability([0.0, 0.0]) == 1
    assert separability([math.log(2), math.log(2), 0]) == pytest.approx(4)
