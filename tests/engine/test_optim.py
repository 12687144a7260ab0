import math

import pytest
import torch
from torch import nn

from gantrain.engine.optim import (
    LearningRate,
    lazy_reg_correction,
    main_step_ratio,
    restore_optimizer,
    set_lr,
)
from gantrain.gans.base import Phase

IMAGES = 1334  # horse2zebra: images an epoch
TOTAL = 200 * IMAGES


@pytest.mark.parametrize(
    ("compat", "factors"),
    [
        (2025, {1: 1, 100: 1, 101: 0.9901, 150: 0.5050, 199: 0.0198, 200: 0.0099}),
        (2020, {1: 1, 99: 1, 100: 0.9901, 101: 0.9802, 150: 0.4950, 199: 0.0099, 200: 0.0}),
    ],
)
def test_published_rates(compat: int, factors: dict[int, float]) -> None:
    rate = LearningRate("linear", TOTAL, 0.5, epoch_images=IMAGES, compat=compat)  # type: ignore[arg-type]
    for epoch, factor in factors.items():
        first, last = (epoch - 1) * IMAGES, epoch * IMAGES - 1
        assert rate.factor(first) == pytest.approx(factor, abs=5e-5)
        assert rate.factor(last) == rate.factor(first)  # constant within an epoch


def test_linear_by_images() -> None:
    rate = LearningRate("linear", 1000, decay=0.4)
    assert [rate.factor(n) for n in (0, 600, 800, 1000, 2000)] == pytest.approx([1, 1, 0.5, 0, 0])


def test_cosine() -> None:
    rate = LearningRate("cosine", 1000, decay=1.0)
    for n in (0, 250, 500, 1000):
        assert rate.factor(n) == pytest.approx((1 + math.cos(math.pi * n / 1000)) / 2)


def test_steps_and_constant() -> None:
    rate = LearningRate("step", 1000, step_images=300, step_factor=0.5)
    assert [rate.factor(n) for n in (0, 299, 300, 899, 900)] == [1, 1, 0.5, 0.25, 0.125]
    assert LearningRate("constant", 1000).factor(999) == 1


def test_no_decay() -> None:
    rate = LearningRate("linear", 1000, decay=0.0)
    assert rate.factor(999) == 1


def stepped_adam(lr: float) -> tuple[nn.Parameter, torch.optim.Adam]:
    p = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([p], lr=lr)
    p.grad = torch.ones(3)
    set_lr(optimizer, 0.5)
    optimizer.step()
    return p, optimizer


def test_set_rate_is_relative_to_the_configured_rate() -> None:
    _, optimizer = stepped_adam(0.1)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    assert set_lr(optimizer, 0.25) == pytest.approx(0.025)


def test_restoring_keeps_moments_from_the_file_and_settings_from_the_config() -> None:
    _, saved = stepped_adam(0.1)
    p = nn.Parameter(torch.ones(3))
    fresh = torch.optim.Adam([p], lr=0.7, betas=(0.5, 0.9))
    restore_optimizer(fresh, saved.state_dict())
    assert fresh.param_groups[0]["betas"] == (0.5, 0.9)
    assert set_lr(fresh, 1.0) == 0.7
    moments = fresh.state[p]
    assert moments["step"] == 1 and torch.equal(moments["exp_avg"], torch.full((3,), 0.1))


PHASES = [("G", 1), ("G", 4), ("D", 1), ("D", 16), ("E", 2)]


@pytest.mark.parametrize(("player", "ratio"), [("G", 4 / 5), ("D", 16 / 17), ("E", 1)])
def test_lazy_phases_correct_rate_and_betas(player: str, ratio: float) -> None:
    phases = [Phase(f"{p}{k}", p, lambda batch, step: iter(()), k) for p, k in PHASES]
    assert main_step_ratio(phases, player) == pytest.approx(ratio)
    settings = lazy_reg_correction({"lr": 0.01, "betas": [0.0, 0.99], "eps": 1e-8}, ratio)
    assert settings["lr"] == pytest.approx(0.01 * ratio) and settings["eps"] == 1e-8
    assert list(settings["betas"]) == pytest.approx([0.0, 0.99**ratio])
    assert lazy_reg_correction({"rho": 0.9}, ratio) == {"rho": 0.9}


def test_a_penalty_at_every_step_is_no_main_step() -> None:
    phases = [Phase("D", "D", lambda batch, step: iter(()))]
    for k in (1, 2, 16):
        r1 = Phase("D_r1", "D", lambda batch, step: iter(()), k, full_precision=True)
        assert main_step_ratio([*phases, r1], "D") == pytest.approx(k / (k + 1))
