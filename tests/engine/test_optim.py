import math

import pytest
import torch
from torch import nn

from gantrain.engine.optim import (
    LearningRate,
    build_optimizers,
    lazy_reg_correction,
    main_step_ratio,
    restore_optimizer,
    scheduled,
    set_lr,
    set_scheduled,
    settings_at,
)
from gantrain.gans.base import GAN, Phase

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


def test_d_may_learn_at_another_rate() -> None:
    rate = LearningRate("linear", 1000, decay=1.0, d_factor=0.8)
    assert rate.factor_of("G", 500) == rate.factor(500) == 0.5
    assert rate.factor_of("D", 500) == pytest.approx(0.4)


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


RISE = {"base": 0.9, "final": 0.99, "kimg": 0.01, "shape": "linear"}


def test_scheduled_settings_are_set_before_every_step() -> None:
    """Against Adam by hand: torch corrects the bias by the beta2 of the step."""
    settings = {"lr": [[0, 0.1], [0.01, 0.05]], "betas": [0.0, RISE], "eps": 1e-8}
    assert scheduled(settings).keys() == {"lr", "betas"}
    gan = GAN()
    gan.G, gan.D = nn.Linear(1, 1, bias=False), nn.Identity()
    gan.phases = lambda: [Phase("G", "G", lambda batch, step: iter(()))]  # type: ignore[method-assign]
    optimizer = build_optimizers(gan, torch.optim.Adam, settings)["G"]
    assert optimizer.param_groups[0]["betas"] == (0.0, 0.9)
    [p] = gan.G.parameters()
    weight, v = p.item(), 0.0
    for t, (nimg, gradient) in enumerate([(0, 1.0), (5, -2.0), (20, 0.5)], 1):
        set_scheduled(optimizer, scheduled(settings), 1.0, nimg)
        lr = set_lr(optimizer, 0.5)
        p.grad = torch.full_like(p, gradient)
        optimizer.step()
        beta = min(0.9 + 0.09 * nimg / 10, 0.99)
        assert lr == pytest.approx(0.5 * max(0.1 - 0.05 * nimg / 10, 0.05))
        v = beta * v + (1 - beta) * gradient**2
        weight -= lr * gradient / ((v / (1 - beta**t)) ** 0.5 + 1e-8)
        assert p.item() == pytest.approx(weight, rel=1e-5)


def test_scheduled_settings_are_corrected_for_lazy_phases() -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(1))], lr=0.1)
    set_scheduled(optimizer, {"lr": {**RISE, "final": 0.5}, "betas": [0.0, RISE]}, 0.75, 5)
    [group] = optimizer.param_groups
    assert group["lr"] == group["initial_lr"] == pytest.approx(0.75 * 0.7)
    assert group["betas"] == pytest.approx((0.0, 0.945**0.75))


def test_points_of_a_beta_are_not_points_of_betas() -> None:
    points = [[0, 0.5], [0.01, 0.9]]
    assert settings_at({"betas": [points, points], "lr": points}, 5) == {
        "betas": pytest.approx((0.7, 0.7)),
        "lr": pytest.approx(0.7),
    }
