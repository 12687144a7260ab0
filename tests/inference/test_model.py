"""A snapshot in use, through `gantrain.load`."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gantrain
from gantrain.errors import ConfigError
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.truncation import SAMPLES, label_centers
from gantrain.ops.value_range import to_uint8
from tests.helpers import generators


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return gantrain.load(generators.stylegan(tmp_path_factory.mktemp("s"), generators.ANIMALS))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return gantrain.load(generators.dcgan(tmp_path_factory.mktemp("d")))


def test_importing_gantrain_is_light() -> None:
    code = "import gantrain, sys; print('torch' in sys.modules, callable(gantrain.load))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_the_file_or_the_run(style: Model) -> None:
    assert torch.equal(gantrain.load(style.file).sample(3), style.sample(3))
    assert style.meta["nimg"] == 12500 and set(style.networks) == {"G"}


@pytest.mark.parametrize("name", ["style", "plain"])
def test_pictures(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    x = model.sample("0-4")
    resolution = model.networks["G"].resolution
    assert x.shape == (5, 3, *resolution) and x.dtype == torch.float32  # type: ignore[misc]
    assert x.abs().max() <= 1 and x.std() > 0.01
    assert not x.requires_grad
    assert (x[0] - x[1]).abs().max() > 0.01


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_a_seed_is_a_picture_whatever_the_batch(style: Model, noise: str) -> None:
    together = style.sample([0, 1, 2, 3, 4], noise=noise, psi=0.7)
    for batch in (1, 2, 3):
        again = style.sample([0, 1, 2, 3, 4], noise=noise, psi=0.7, batch=batch)
        torch.testing.assert_close(again, together, atol=1e-5, rtol=0)
    torch.manual_seed(5)
    assert torch.equal(style.sample([0, 1, 2, 3, 4], noise=noise, psi=0.7), together)
    reordered = style.sample([3, 0], noise=noise, psi=0.7)
    torch.testing.assert_close(reordered, together[[3, 0]], atol=1e-5, rtol=0)


def test_z_is_what_everybody_draws(style: Model) -> None:
    z = style.latents([7, 1])
    assert z.dtype == torch.float32
    expected = [np.random.RandomState(seed).randn(1, 16).astype(np.float32)[0] for seed in (7, 1)]
    assert np.array_equal(z, np.stack(expected))
    x = style.networks["G"](z, torch.eye(3)[[1, 1]], noise_mode="const")
    torch.testing.assert_close(style.sample([7, 1], label=1), x.clamp(-1, 1))


def test_the_constant_noise_is_shared_and_random_noise_is_the_seeds(style: Model) -> None:
    ws = style.latent_inputs([0], torch.eye(3)[:1]).repeat(2, 1, 1)
    const, none = style.synthesis(ws), style.synthesis(ws, noise="none")
    random = style.synthesis(ws, noise="random", noise_seeds=[0, 1])
    assert torch.equal(const[0], const[1]) and torch.equal(none[0], none[1])
    assert (random[0] - random[1]).abs().max() > 0.01
    assert (const[0] - none[0]).abs().max() > 0.01
    before = style.synthesis(ws)
    assert torch.equal(before, const), "the network's own noise is untouched"
    torch.manual_seed(0)
    first = style.synthesis(ws, noise="random")
    assert (style.synthesis(ws, noise="random") - first).abs().max() > 0.01


def test_truncation(style: Model) -> None:
    same = style.sample("0-3", psi=0, label=0)
    assert torch.equal(same[:1].expand_as(same), same), "psi=0 is the mean picture"
    z, c = style.latents([0, 1]), torch.eye(3)[:2]
    full, half = style.mapping(z, c), style.mapping(z, c, psi=0.5)
    mean = style.networks["G"].state_dict()["mapping.w_avg"]
    torch.testing.assert_close(half, mean + 0.5 * (full - mean))
    low = style.mapping(z, c, psi=0.5, cutoff=2)
    assert torch.equal(low[:, :2], half[:, :2]) and torch.equal(low[:, 2:], full[:, 2:])


def test_labels(style: Model) -> None:
    cycled = style.sample("0-3")
    by_name = style.sample("0-3", label="dog")
    assert torch.equal(cycled[1], by_name[1]) and not torch.equal(cycled[0], by_name[0])
    assert torch.equal(style.sample("0-3", label=1), by_name)
    assert torch.equal(style.sample("0-3", label=[0, 1, 0]), by_name)


def test_gradients_reach_w(style: Model) -> None:
    ws = style.mapping(style.latents([0]), torch.eye(3)[:1]).requires_grad_(True)
    style.synthesis(ws).sum().backward()
    assert ws.grad is not None and ws.grad.abs().min() >= 0 and ws.grad.abs().max() > 0


def test_a_generator_without_w(plain: Model, tmp_path: Path) -> None:
    z = plain.latents([0, 5])
    assert torch.equal(plain.sample([0, 5]), plain.networks["G"](z))
    labelled = gantrain.load(generators.dcgan(tmp_path, generators.ANIMALS))
    x = labelled.networks["G"](labelled.latents([0]), torch.eye(3)[1:2])
    assert torch.equal(labelled.sample(0, label="dog"), x)


def test_half_precision(style: Model) -> None:
    half = load_model(style.file, precision="bf16").sample("0-3")
    full = style.sample("0-3")
    assert half.dtype == torch.float32
    assert (half - full).abs().max() > 0 and (half - full).abs().mean() < 0.05
    assert to_uint8(half).dtype == torch.uint8


def test_what_a_generator_cannot_do_is_said(plain: Model, style: Model, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"truncation, noise need StyleGAN's w, .* DCGAN: it generates"
    ):
        plain.sample(0, psi=0.5, noise="none")
    with pytest.raises(ConfigError, match="need StyleGAN's w"):
        plain.mapping(plain.latents([0]))
    with pytest.raises(ConfigError, match="trained without labels"):
        plain.sample(0, label=1)
    with pytest.raises(ConfigError, match="experiment=stylegan_cycle"):
        style.encode(style.sample(0))
    with pytest.raises(ConfigError, match=r"Did you mean class=cat\?"):
        style.sample(0, label="cta")
    with pytest.raises(ConfigError, match="seeds=-1 is not allowed"):
        style.sample(-1)
    translator = gantrain.load(generators.cyclegan(tmp_path))
    assert set(translator.networks) == {"ab", "ba"}
    for use in (lambda: translator.sample(0), lambda: translator.mapping(torch.zeros(1, 16))):
        with pytest.raises(ConfigError, match=r"CycleGAN, which has no latents .* \(ab, ba\)"):
            use()


def test_devices_that_are_not_there(style: Model) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match="device=cuda, but torch finds no CUDA device"):
        gantrain.load(style.file, device="cuda")


def test_truncation_towards_the_mean_of_a_class(style: Model) -> None:
    c = style.label_batch(range(3), None)
    assert c is not None
    centers = label_centers(style.style.mapping, 16, c, {})
    other = torch.from_numpy(np.random.RandomState(7).randn(4096, 16)).float()
    for row, center in zip(c, centers, strict=True):  # of other z: a mean of the class, not of all
        w = style.mapping(other, row.expand(4096, -1))[:, 0]
        assert (w.mean(0) - center).abs().max() < 6 * (w.std(0) / 4096**0.5).max()
    assert (centers[0] - centers[1]).abs().max() > 10 * (w.std(0) / 4096**0.5).max()
    z = style.latents(range(3))
    ws = style.mapping(z, c)
    near = style.mapping(z, c, psi=0.3, cutoff=2, center="class")
    expected = centers[:, None] + 0.3 * (ws - centers[:, None])
    torch.testing.assert_close(near[:, :2], expected[:, :2])
    assert torch.equal(near[:, 2:], ws[:, 2:])
    assert torch.equal(style.mapping(z, c, center="class"), ws)
    mean = style.sample("0-5", label="dog", psi=0, center="class")
    torch.testing.assert_close(mean, mean[:1].expand(6, -1, -1, -1), rtol=0, atol=1e-4)
    assert (mean[0] - style.sample(0, label="cat", psi=0, center="class")[0]).abs().max() > 0.01


def test_the_centre_of_a_label_is_computed_once(style: Model) -> None:
    """However many batches there are, and with the same images."""
    one_batch = replace(style).sample("0-5", psi=0.5, center="class", batch=6)
    calls: list[int] = []
    hook = style.style.mapping.register_forward_pre_hook(lambda _, x: calls.append(len(x[0])))
    images = replace(style).sample("0-5", psi=0.5, center="class", batch=2)
    hook.remove()
    assert sum(calls) == 3 * SAMPLES + 6
    torch.testing.assert_close(images, one_batch, rtol=0, atol=1e-5)


def test_what_a_generator_does_not_have_is_a_sentence(tmp_path: Path, style: Model) -> None:
    movable = gantrain.load(generators.stylegan3(tmp_path / "sg3"))
    with pytest.raises(ConfigError, match="a StyleGAN3Generator has no noise"):
        movable.sample(0, noise="random")
    ws = style.latent_inputs([0], style.label_batch([0], None))
    with pytest.raises(ConfigError, match="and this is a StyleGAN2Generator"):
        style.synthesis(ws, transform=torch.eye(3))
