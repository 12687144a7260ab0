"""A large picture in bands is what it is at once; statistics are those of the whole picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.engine.precision import Precision
from gantrain.inference.bands import Bands, translate_in_bands
from gantrain.inference.translation import translate_any_size
from gantrain.networks.layers import Norm
from gantrain.networks.resnet import ResnetGenerator
from gantrain.ops.pixels import to_float, to_uint8
from tests.command_line import gantrain
from tests.generators import write

FP32 = Precision(torch.device("cpu"), "fp32")


def network(norm: Norm = "instance", dropout: bool = False) -> ResnetGenerator:
    """With weights and running statistics as after training, and not the first ones."""
    net = ResnetGenerator(3, 2, ngf=6, blocks=3, norm=norm, dropout=dropout).eval()
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(
                torch.rand_like(value) + 0.5 if "var" in name else 0.2 * torch.randn_like(value)
            )
    return net


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("size", [(64, 48), (96, 32), (8, 8), (12, 40)])
@pytest.mark.parametrize("rows", [4, 10, 1000])
def test_bands_are_the_whole(norm: Norm, size: tuple[int, int], rows: int) -> None:
    net, x = network(norm, dropout=True), torch.rand(1, 3, *size) * 2 - 1
    with torch.no_grad():
        expected = net(x)
    found = torch.full_like(expected, torch.nan)

    def keep(a: int, part: torch.Tensor) -> None:
        assert part.shape[2] <= max(rows // 4, 1) * 4
        found[:, :, a : a + part.shape[2]] = part

    Bands(net, FP32, rows).translate(lambda a, b: x[:, :, a:b], *size, keep)
    assert (found - expected).abs().max() < 2e-5


def test_statistics_of_a_band_alone_would_differ() -> None:
    net, x = network(), torch.rand(1, 3, 64, 32) * 2 - 1
    x[:, :, 32:] *= 0.2
    with torch.no_grad():
        assert (net(x)[:, :, :20] - net(x[:, :, :32])[:, :, :20]).abs().max() > 0.05


@pytest.mark.parametrize("size", [(37, 101), (101, 37), (3, 90)])
def test_any_size(size: tuple[int, int]) -> None:
    net = network()
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    found = translate_in_bands(net, image, FP32, tile=16)
    expected = to_uint8(translate_any_size(net, to_float(image[None]), FP32))[0]
    assert found.shape == expected.shape == (2, *size)
    difference = found.int() - expected.int()
    assert difference.abs().max() <= 1 and (difference != 0).float().mean() < 0.001


@pytest.mark.multi
def test_by_command(tmp_path: Path) -> None:
    net = ResnetGenerator(3, 3, ngf=4, blocks=1)
    run = write(tmp_path / "run", "gantrain.gans.cyclegan.CycleGAN", {"ab": net, "ba": net})
    (tmp_path / "in").mkdir()
    for name, size in (("small", (30, 30)), ("wide", (60, 300)), ("high", (301, 70))):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/{name}.png")
    command = ["translate", f"run={run}", "input=in", "gallery=0"]
    gantrain(tmp_path, *command, "output=whole")
    gantrain(tmp_path, *command, "output=tiled", "tile=40")
    for name in ("small", "wide", "high"):
        one, other = (
            np.asarray(Image.open(tmp_path / folder / f"{name}.png")).astype(int)
            for folder in ("whole", "tiled")
        )
        assert one.shape == other.shape and abs(one - other).max() <= 1
