"""Signals against what they must be by their definitions."""

import pytest
import torch
from torch import Tensor

from gantrain.health.signals import Probe, concat_probes, health_signals, quantize_with_noise

REAL = torch.tensor([1.0, 2.0, 3.0, 4.0])


def pictures(count: int = 8, side: int = 32, seed: int = 0) -> Tensor:
    """Smooth pictures [count, 3, side, side] in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 1.6 - 0.8
    return torch.nn.functional.interpolate(coarse, side, mode="bilinear")


def probe(**given: Tensor | None) -> dict[str, float]:
    x = pictures()
    values: dict[str, Tensor | None] = {
        "real": x, "fake": pictures(seed=1), "logits_real": REAL, "logits_fake": REAL - 10,
    }  # fmt: skip
    return health_signals(Probe(**{**values, **given}))  # type: ignore[arg-type]


def test_separation_is_the_share_of_pairs_in_order() -> None:
    assert probe()["separation"] == 1
    assert probe(logits_fake=REAL)["separation"] == 0.5  # ties count half
    assert probe(logits_fake=REAL + 10)["separation"] == 0
    assert probe(logits_fake=torch.tensor([2.5]))["separation"] == 0.5
    assert probe(logits_fake=torch.tensor([0.0, 1.5]))["separation"] == pytest.approx(7 / 8)


def test_overfitting_is_how_far_unseen_pictures_are_on_the_way_to_fakes() -> None:
    found = probe(logits_held=REAL - 5)
    assert (
        found["logit_real"] == 2.5 and found["logit_fake"] == -7.5 and found["logit_held"] == -2.5
    )
    assert found["overfit"] == pytest.approx(0.5)
    error = (2 * REAL.double().var().item() / 4) ** 0.5
    assert found["overfit_sigma"] == pytest.approx(5 / error, rel=1e-6)
    assert probe(logits_held=REAL)["overfit"] == 0
    assert probe(logits_held=REAL - 10)["overfit"] == pytest.approx(1)
    assert probe(logits_held=REAL - 5, logits_fake=REAL)["overfit"] == 0  # no gap to overfit
    assert "overfit" not in probe()


def test_diversity_is_relative_to_real_pictures() -> None:
    x = pictures()
    assert probe(fake=x)["diversity"] == pytest.approx(1)
    assert probe(fake=x / 4)["diversity"] == pytest.approx(0.25)
    assert probe(fake=x[:1].expand_as(x))["diversity"] == 0
    # Noise that differs from picture to picture does not hide that the picture is the same.
    large = pictures(side=128)
    noisy = large[:1] + 0.2 * torch.randn_like(large)
    assert probe(fake=noisy)["diversity"] < 0.15


def test_copies_and_negatives() -> None:
    x, y = pictures(), pictures(seed=1)
    copied = probe(source=x, fake=x, real=y)
    assert copied["copy"] == 0 and copied["luma"] == pytest.approx(1)
    assert probe(source=x, fake=-x, real=y)["luma"] == pytest.approx(-1)
    assert probe(source=x, fake=0 * x, real=y)["luma"] == 0
    other = probe(source=x, fake=y.roll(1, 0), real=y)  # unrelated pictures of the other domain
    assert 0.7 < other["copy"] < 1.4 and abs(other["luma"]) < 0.3


def test_domains_of_different_channels() -> None:
    x = pictures()
    grey = x[:, :1]
    found = probe(source=grey, fake=-grey.expand(-1, 3, -1, -1), real=pictures(seed=1))
    assert "copy" not in found and found["luma"] == pytest.approx(-1)
    assert "luma" in probe(source=torch.cat([x, x[:, :1]], 1), fake=x)


def test_a_source_hidden_in_faint_patterns() -> None:
    x, y = pictures(), pictures(seed=1)
    hiding = y.clone()
    hiding[:, :, 1::2] += x[:, :, 1::2] / 512  # far below one level of a file
    way_back = lambda fake: ((fake - y) * 512).clamp(-1, 1)  # noqa: E731
    bad = probe(
        source=x,
        fake=hiding,
        back=way_back(hiding),
        back_coded=way_back(quantize_with_noise(hiding)),
    )
    honest = probe(source=x, fake=y, back=x + 0.05, back_coded=x + 0.06)
    assert bad["hidden"] > 1.3 and honest["hidden"] == pytest.approx(1.2, rel=1e-3)
    # An error below one level is none that a file could have kept.
    exact = probe(source=x, fake=y, back=x, back_coded=x + 2 / 127.5)
    assert exact["hidden"] == pytest.approx(2, rel=1e-3)


def test_a_file_keeps_whole_levels_and_a_little_noise() -> None:
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 256).repeat(2000, 1)
    levels = (quantize_with_noise(x) + 1) * 127.5
    assert (levels.mean(0) - torch.arange(256)).abs().max() < 0.1
    assert levels.std(0).mean() == pytest.approx(1, abs=0.01)


def test_parts_are_measured_as_one() -> None:
    x, y = pictures(), pictures(seed=1)
    whole = Probe(x, y, REAL.repeat(2), REAL.repeat(2) - 1, source=x, back=x, back_coded=y)
    parts = [
        Probe(x[i : i + 4], y[i : i + 4], REAL, REAL - 1, source=x[i : i + 4], back=x[i : i + 4],
              back_coded=y[i : i + 4])
        for i in (0, 4)
    ]  # fmt: skip
    assert health_signals(concat_probes(parts)) == health_signals(whole)
