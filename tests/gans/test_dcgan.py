from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.errors import ConfigError
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.dcgan import DCGAN
from tests.helpers.command_line import gantrain


def make(label_dim: int = 0, **settings: object) -> DCGAN:
    images = ImageSpec({"image": 3}, (32, 32), label_dim, batch=4)
    return DCGAN(images, **{"g_width": 8, "d_width": 2, **settings})  # type: ignore[arg-type]


def test_the_published_shapes() -> None:
    gan = DCGAN(ImageSpec({"image": 3}, (32, 32)))
    z = torch.randn(2, 100)
    x = gan.G.project(z).unflatten(1, (512, 8, 8))
    assert gan.G.body(x).shape == (2, 128, 32, 32)
    assert gan.G(z).shape == (2, 3, 32, 32) and gan.G(z).abs().max() <= 1
    assert gan.D(gan.G(z)).shape == (2,)
    assert sum(isinstance(m, nn.Dropout) and m.p == 0.25 for m in gan.D.modules()) == 3
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in gan.G.modules()) == 2


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((32, 48), 3)])
def test_other_pictures(size: tuple[int, int], channels: int) -> None:
    gan = DCGAN(ImageSpec({"image": channels}, size), g_width=8, d_width=2)
    assert gan.G(torch.randn(2, 100)).shape == (2, channels, *size)
    assert gan.D(torch.zeros(2, channels, *size)).shape == (2,)


def test_too_small_pictures_get_a_sentence() -> None:
    with pytest.raises(ConfigError, match="at least 8 pixels"):
        DCGAN(ImageSpec({"image": 3}, (4, 4)))


def test_losses_are_binary_cross_entropy() -> None:
    gan = make(dropout=0.0).eval()
    batch = {"image": torch.randn(4, 3, 32, 32)}
    bce = nn.functional.binary_cross_entropy_with_logits
    torch.manual_seed(3)
    d_losses = next(gan.discriminator_losses(batch, Step(0, 0)))
    torch.manual_seed(3)
    on_real, on_fake = gan.D(batch["image"]), gan.D(gan.G(torch.randn(4, 100)))
    assert torch.allclose(d_losses["real"], bce(on_real, torch.ones(4)))
    assert torch.allclose(d_losses["fake"], bce(on_fake, torch.zeros(4)))
    torch.manual_seed(3)
    g_losses = next(gan.generator_losses(batch, Step(0, 0)))
    assert torch.allclose(g_losses["adversarial"], bce(on_fake, torch.ones(4)))


def test_each_player_steps_on_its_own_loss_only() -> None:
    gan = make()
    optimizers = build_optimizers(gan, torch.optim.SGD, {"lr": 0.0})
    runner = PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), "fp32"), "halt")
    runner.step([{"image": torch.randn(4, 3, 32, 32)}], Step(0, 0))
    for phase in gan.phases():
        for name, p in getattr(gan, phase.player).named_parameters():
            assert p.grad is not None, name
    assert set(runner.stats.collect()) >= {"loss/D/real", "loss/D/fake", "loss/G/adversarial"}


def test_labels_reach_both_networks() -> None:
    gan = make(label_dim=5).eval()
    z, x = torch.randn(2, 100), torch.randn(2, 3, 32, 32)
    one, two = torch.eye(5)[[0, 1]], torch.eye(5)[[0, 2]]
    for before, after in ((gan.G(z, one), gan.G(z, two)), (gan.D(x, one), gan.D(x, two))):
        assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


def test_labels_that_are_numbers_are_scaled() -> None:
    images = ImageSpec({"image": 3}, (32, 32), 1, 4, [[5000.0], [100.0]])
    torch.manual_seed(0)
    gan = DCGAN(images, g_width=8, d_width=4).eval()
    torch.manual_seed(0)
    plain = DCGAN(replace(images, label_scale=None), g_width=8, d_width=4).eval()
    z, x, c = torch.randn(2, 100), torch.randn(2, 3, 32, 32), torch.tensor([[5000.0], [5100]])
    unit = torch.tensor([[0.0], [1]])
    assert torch.equal(gan.G(z, c), plain.G(z, unit)) and torch.equal(gan.D(x, c), plain.D(x, unit))


@pytest.mark.parametrize(("batch", "size"), [(1, 8), (4, 8), (1, 16)])
def test_batch_norm_gets_more_than_one_value(tmp_path: Path, batch: int, size: int) -> None:
    """It sees a microbatch at a time, whose last feature map at 8 x 8 pixels is one value."""
    (tmp_path / "set").mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16), (60 * number, 0, 0)).save(tmp_path / f"set/{number}.png")
    command = ["model=dcgan", "data=folder", f"data.resolution={size}", f"train.batch={batch}"]
    command += ["train.microbatch=1", "data.root=set", "data.cache=none", "name=run"]
    command += ["train.epochs=null", "train.kimg=0.004", "tracking=none", "runtime=cpu"]
    command += ["runtime.workers=0", "model.g_width=4", "model.d_width=2"]
    said = gantrain(tmp_path, *command, code=2 if size == 8 else 0)
    assert ("batch norm cannot train on single images of 8 x 8 pixels" in said) == (size == 8)
    assert (tmp_path / "runs").exists() == (size == 16)
