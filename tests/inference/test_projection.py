"""Projection of images into latent space, and tuning of the generator to them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gantrain
from gantrain.inference import projection
from gantrain.inference.model import Model
from gantrain.inference.pivotal_tuning import tune
from gantrain.inference.projection import (
    Projection,
    ProjectionSettings,
    Projector,
    correlation,
    for_lpips,
    learning_rate,
)
from gantrain.metrics.lpips import LPIPS
from tests.helpers import generators

SETTINGS: dict[str, Any] = {
    "space": "w",
    "steps": 30,
    "lr": 0.1,
    "pixel_weight": 1.0,
    "noise_weight": 0.0,
    "spread_weight": 0.01,
    "seed": 0,
}


@pytest.fixture(scope="module")
def lpips() -> LPIPS:
    torch.manual_seed(0)
    network = LPIPS().eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        if name.startswith("lin"):
            weight.abs_()  # a distance
    return network


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return gantrain.load(generators.stylegan(tmp_path_factory.mktemp("s")))


@pytest.fixture(scope="module")
def images(style: Model) -> Tensor:
    """Two images of the generator itself, so that there is something to find."""
    return style.sample([5, 6])


def project(model: Model, lpips: LPIPS, images: Tensor, **settings: Any) -> Projection:
    return Projector(model, lpips, ProjectionSettings(**{**SETTINGS, **settings})).project(images)


def error(found: Projection, images: Tensor) -> Tensor:
    return (found.images - images).square().flatten(1).mean(1)


def test_the_images_of_the_generator_are_found(style: Model, lpips: LPIPS, images: Tensor) -> None:
    start = (style.synthesis(style.style.mapping.w_avg.expand(2, 6, -1)) - images).square()
    in_w = project(style, lpips, images, steps=60)
    assert in_w.latents.shape == (2, 6, 16)
    assert torch.equal(in_w.latents[:, 0], in_w.latents[:, 5])  # one w for all layers
    assert (error(in_w, images) < 0.5 * start.flatten(1).mean(1)).all()
    torch.testing.assert_close(in_w.images, style.synthesis(in_w.latents))
    in_layers = project(style, lpips, images, space="w+", steps=60, spread_weight=0.0)
    assert (error(in_layers, images) < error(in_w, images)).all()
    assert (in_layers.latents[:, 0] - in_layers.latents[:, 5]).abs().max() > 0.01


def test_an_image_is_independent_of_the_others_and_repeatable(
    style: Model, lpips: LPIPS, images: Tensor
) -> None:
    options = {"noise_weight": 1e5, "steps": 8}
    together = project(style, lpips, images, **options)
    alone = project(style, lpips, images[1:], **options)
    torch.testing.assert_close(alone.latents, together.latents[1:], rtol=0, atol=1e-4)
    again = project(style, lpips, images, **options)
    assert torch.equal(again.latents, together.latents)
    other = project(style, lpips, images, **options, seed=1)
    assert not torch.equal(other.latents, together.latents)


def test_the_pull_towards_w_narrows_the_spread(style: Model, lpips: LPIPS, images: Tensor) -> None:
    def spread(weight: float) -> float:
        found = project(style, lpips, images, space="w+", spread_weight=weight)
        return float(found.latents.std(dim=1).mean())

    assert spread(10.0) < 0.5 * spread(0.0)


def test_noise_is_fitted_and_stays_normal(style: Model, lpips: LPIPS, images: Tensor) -> None:
    found = project(style, lpips, images, noise_weight=1e5)
    assert found.noise.keys() == {
        f"b{n}.conv{i}.noise_const" for n, i in [(4, 1), (8, 0), (8, 1), (16, 0), (16, 1)]
    }
    for noise in found.noise.values():
        assert noise.shape[:2] == (2, 1)
        torch.testing.assert_close(noise.mean((2, 3)), torch.zeros(2, 1), rtol=0, atol=1e-5)
        torch.testing.assert_close(noise.square().mean((2, 3)), torch.ones(2, 1))
    assert (found.images - style.synthesis(found.latents)).abs().max() > 0.01
    kept = project(style, lpips, images)
    assert kept.noise == {}


def test_a_start_is_used(style: Model, lpips: LPIPS, images: Tensor) -> None:
    ws = style.latent_inputs([5, 6], None)
    settings = ProjectionSettings(**{**SETTINGS, "steps": 1, "lr": 1e-9})
    found = Projector(style, lpips, settings).project(images, start=ws)
    torch.testing.assert_close(found.latents, ws, rtol=0, atol=1e-5)


def test_the_nearest_sample_is_the_one_with_the_least_lpips(
    style: Model, lpips: LPIPS, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "CANDIDATES", 12)
    projector = Projector(style, lpips, ProjectionSettings(**SETTINGS))
    z = torch.randn(12, style.generator.z_dim, generator=torch.Generator().manual_seed(0))
    candidates = style.mapping(z)
    made = style.synthesize(candidates, "const", [0] * 12)
    best = [
        int(torch.stack([lpips(for_lpips(x[None]), for_lpips(y[None])) for y in made]).argmin())
        for x in images
    ]
    torch.testing.assert_close(projector.nearest(images), candidates[best])
    # A sample itself is found, whatever is beside it in the batch.
    both = torch.cat([made[7:8], images])
    torch.testing.assert_close(projector.nearest(both)[0], candidates[7])


def test_generators_without_w_are_inverted_in_z(tmp_path: Path, lpips: LPIPS) -> None:
    model = gantrain.load(generators.r3gan(tmp_path, doublings=2))
    images = model.sample([1])
    first = project(model, lpips, images, space="z", steps=1, lr=1e-9)
    found = project(model, lpips, images, space="z", steps=60)
    assert found.latents.shape == (1, model.generator.z_dim)
    assert (error(found, images) < error(first, images)).all()


def test_labels_choose_the_mean(tmp_path: Path, lpips: LPIPS) -> None:
    model = gantrain.load(generators.stylegan(tmp_path, generators.ANIMALS))
    settings = ProjectionSettings(**{**SETTINGS, "steps": 1, "lr": 1e-9})
    found = [
        Projector(model, lpips, settings, label).project(torch.zeros(1, 3, 16, 16)).latents
        for label in torch.eye(3)[:2]
    ]
    assert not torch.allclose(*found)


def test_the_learning_rate_rises_and_falls() -> None:
    assert learning_rate(0) == 0 and learning_rate(0.025) == pytest.approx(0.5)
    assert learning_rate(0.05) == learning_rate(0.5) == 1
    assert learning_rate(0.875) == pytest.approx(0.5) and learning_rate(1) == 0


def test_correlated_noise_is_penalized() -> None:
    torch.manual_seed(0)
    noise = torch.randn(1, 1, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    smooth = smooth / smooth.square().mean().sqrt()
    assert correlation(noise) < 0.1 < 0.5 < correlation(smooth)
    # Of equal values all products are 1, at every scale 4^k: 2 directions, scales 16 and 8.
    assert float(correlation(torch.ones(1, 1, 16, 16))) == pytest.approx(2 * (1 + 16))


def test_tuning_brings_the_images_closer(style: Model, lpips: LPIPS) -> None:
    torch.manual_seed(1)
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    ws = style.latent_inputs([0, 1, 2], None)
    before = style.synthesis(ws)
    seen: list[float] = []
    tuned = tune(
        style.style, ws, images, lpips, steps=20, lr=1e-2, batch=2,
        report=lambda step, distance: seen.append(distance),
    )  # fmt: skip
    after = tuned.synthesis(ws, "const")  # type: ignore[operator]
    assert (after - images).square().mean() < (before - images).square().mean()
    assert len(seen) == 20
    assert torch.equal(style.synthesis(ws), before)  # the original is as it was
    ours, theirs = tuned.mapping.state_dict(), style.style.mapping.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
