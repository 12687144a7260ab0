"""Separability of generators whose latents are known to tell classes apart, or nothing."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gantrain
from gantrain.errors import ConfigError
from gantrain.inference.linear_classifier import predict_halves
from gantrain.inference.model import Model
from gantrain.inference.separability import measure
from gantrain.metrics.separability import conditional_entropy
from tests.helpers import generators
from tests.inference.test_directions import known

Judge = Callable[[Tensor], Tensor] | None


def found(model: Model, labels: Tensor | None, judge: Judge = None) -> dict[str, float]:
    count = 2000 if labels is None else len(labels)
    batches = [list(range(i, min(i + 300, count))) for i in range(0, count, 300)]
    made: list[int] = []

    def labels_of(seeds: Sequence[int]) -> Tensor | None:
        return None if labels is None else labels[list(seeds)]

    values = measure(model, batches, labels_of, 1.0, judge, made.append)
    assert sum(made) == count
    return values


def one_hot(classes: Tensor, count: int) -> Tensor:
    return torch.nn.functional.one_hot(classes, count).float()


def test_two_classes_are_one_attribute() -> None:
    classes = torch.arange(3000) % 2
    values = found(known(2), one_hot(classes, 2))
    # z does not know the class. w is z moved by 4 along the axis of the class, so that the classes
    # are 4 * sqrt(2) apart, and a share Phi(-2 * sqrt(2)) of 0.0023 is on the wrong side.
    assert values["separability_chance"] == pytest.approx(2, abs=1e-12)
    assert values["separability_z"] == pytest.approx(2, abs=0.01)
    wrong = 0.5 * math.erfc(2)
    entropy = -wrong * math.log(wrong) - (1 - wrong) * math.log(1 - wrong)
    assert values["separability_w"] == pytest.approx(math.exp(entropy), abs=0.02)


def test_every_class_is_an_attribute() -> None:
    classes = torch.arange(3000) % 3
    values = found(known(3), one_hot(classes, 3))
    entropy = math.log(3) - 2 / 3 * math.log(2)  # of one class against the others
    assert values["separability_chance"] == pytest.approx(math.exp(3 * entropy), rel=1e-9)
    assert values["separability_z"] == pytest.approx(math.exp(3 * entropy), rel=0.02)
    assert 1 < values["separability_w"] < 1.4


def test_latents_with_a_gap_are_separable() -> None:
    torch.manual_seed(0)
    x = torch.randn(600, 5)
    y = x[:, 0] > 0.3
    x[:, 0] += torch.where(y, 1.0, -1.0)
    assert torch.equal(predict_halves(x, y), y)
    assert conditional_entropy(y, predict_halves(x, y)) == 0
    # Fitted to itself, a hyperplane would separate any labels of 50 points in 60 dimensions.
    noise, anything = torch.randn(50, 60), torch.rand(50) < 0.5
    assert (predict_halves(noise, anything) == anything).float().mean() < 0.75


def grey(images: Tensor) -> Tensor:
    return images[:, 0, 0, 0].double().cpu()


def test_images_are_judged_and_the_surer_half_is_kept() -> None:
    values = found(known(), None, grey)
    # The grey is the tanh of an entry of w, which is z here: the half farthest from 0 has a gap.
    assert values["separability_w"] == values["separability_z"] < 1.05
    assert values["separability_chance"] == pytest.approx(2, abs=0.01)
    hidden = found(known(), None, lambda x: grey(x).abs() - 0.585)  # a slab is not linear
    assert 1.7 < hidden["separability_w"] <= hidden["separability_chance"] * 1.01
    with pytest.raises(ConfigError, match="all like the second folder's"):
        found(known(), None, lambda x: grey(x) + 2)


def test_a_generator_without_w(tmp_path: Path) -> None:
    model = gantrain.load(generators.dcgan(tmp_path))
    median = float(model.sample("0-99").mean((1, 2, 3)).median())
    values = found(model, None, lambda x: x.mean((1, 2, 3)).double() - median)
    assert values.keys() == {"separability_z", "separability_chance"}
    assert 1 < values["separability_z"] < values["separability_chance"] + 0.05
