"""A large picture in bands is what it is at once; statistics are those of the whole picture."""

import copy
import errno
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.engine.precision import Precision
from gantrain.errors import ConfigError
from gantrain.inference.row_streaming import FeatureMapFile
from gantrain.inference.tiled_translation import Bandable, TiledTranslator, translate_in_bands
from gantrain.inference.translation import translate_any_size
from gantrain.networks.eval_mode import set_test_mode
from gantrain.networks.layers import Downsample, Norm, Upsample
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.unet import UnetGenerator
from gantrain.ops.value_range import to_float, to_uint8
from tests.helpers.command_line import gantrain
from tests.helpers.generators import write

WAYS: dict[str, tuple[Upsample, Downsample]] = {
    "resnet": ("transpose", "strided"),
    "resized": ("resize", "strided"),
    "antialiased": ("antialias", "antialias"),
    "blurred down": ("transpose", "antialias"),
}
FP32 = Precision(torch.device("cpu"), "fp32")


def network(norm: Norm = "instance", kind: str = "resnet") -> Bandable:
    """With weights and running statistics as after training, and not the first ones."""
    if kind != "unet":
        ways = WAYS[kind]
        net = ResnetGenerator(3, 2, 6, 3, norm, True, *ways).eval()
    else:
        net = UnetGenerator(3, 2, ngf=3, downs=6, norm=norm, dropout=True).eval()
    scale = 0.2 if norm != "none" else 0.05  # nothing keeps that in bounds
    for name, value in net.state_dict().items():
        if value.is_floating_point() and not name.endswith("filt"):
            value.copy_(
                torch.rand_like(value) + 0.5 if "var" in name else scale * torch.randn_like(value)
            )
    return net


RESNET = [(kind, size) for kind in WAYS for size in ((64, 48), (96, 32), (8, 8), (12, 40))]
UNET = [("unet", size) for size in ((192, 128), (64, 64), (320, 64), (64, 256))]


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize(("kind", "size"), RESNET + UNET)
@pytest.mark.parametrize("rows", [4, 10, 60, 1000])
def test_bands_are_the_whole(norm: Norm, kind: str, size: tuple[int, int], rows: int) -> None:
    torch.manual_seed(0)
    net, x = network(norm, kind), torch.rand(1, 3, *size) * 2 - 1
    with torch.no_grad():
        expected = net(x)
        # A bottleneck of 2 x 2 amplifies the rounding of either way.
        rounding = (expected - copy.deepcopy(net).double()(x.double())).abs().max()
    found = torch.full_like(expected, torch.nan)

    def keep(a: int, part: torch.Tensor) -> None:
        assert part.shape[2] <= max(rows // 4, 1) * 4
        found[:, :, a : a + part.shape[2]] = part

    TiledTranslator(net, FP32, rows).translate(lambda a, b: x[:, :, a:b], *size, keep)
    assert (found - expected).abs().max() < max(2e-5, 4 * rounding)


def test_statistics_of_a_band_alone_would_differ() -> None:
    net, x = network(), torch.rand(1, 3, 64, 32) * 2 - 1
    x[:, :, 32:] *= 0.2
    with torch.no_grad():
        assert (net(x)[:, :, :20] - net(x[:, :, :32])[:, :, :20]).abs().max() > 0.05


@pytest.mark.parametrize("kind", [*WAYS, "unet"])
@pytest.mark.parametrize("size", [(37, 101), (101, 37), (3, 90)])
def test_any_size(size: tuple[int, int], kind: str) -> None:
    net = network(kind=kind)
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    found = translate_in_bands(net, image, FP32, tile=16)
    expected = to_uint8(translate_any_size(net, to_float(image[None]), FP32))[0]
    assert found.shape == expected.shape == (2, *size)
    difference = found.int() - expected.int()
    assert difference.abs().max() <= 1 and (difference != 0).float().mean() < 0.001


@pytest.mark.multi
@pytest.mark.ci
def test_by_command(tmp_path: Path) -> None:
    smooth = ResnetGenerator(3, 3, 4, 1, upsample="antialias", downsample="antialias")
    nets = {"ab": smooth, "ba": UnetGenerator(3, 3, ngf=2, downs=5)}
    run = write(tmp_path / "run", "gantrain.gans.cyclegan.CycleGAN", dict(nets))
    (tmp_path / "in").mkdir()
    for name, size in (("small", (30, 30)), ("wide", (60, 300)), ("high", (301, 70))):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/{name}.png")
    for way in nets:
        command = ["translate", f"run={run}", "input=in", "gallery=0", f"direction={way}"]
        gantrain(tmp_path, *command, f"output=whole_{way}")
        gantrain(tmp_path, *command, f"output=tiled_{way}", "tile=40")
        for name in ("small", "wide", "high"):
            one, other = (
                np.asarray(Image.open(tmp_path / f"{how}_{way}/{name}.png")).astype(int)
                for how in ("whole", "tiled")
            )
            assert one.shape == other.shape and abs(one - other).max() <= 1


class Watched(TiledTranslator):
    """Bands that know how much of their files is there at most, in floats."""

    most = 0

    def create_file(self, channels: int, h: int, w: int) -> FeatureMapFile:
        self.files = [*getattr(self, "files", []), super().create_file(channels, h, w)]
        there = [file for file in self.files if file.path.exists()]
        self.most = max(self.most, sum(math.prod(file.shape) for file in there))
        return self.files[-1]


@pytest.mark.parametrize(
    ("kind", "per_pixel"), [*((kind, 3 * 4 / 16) for kind in WAYS), ("unet", 1.5 / 4)]
)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_files_that_are_used_up_are_removed(kind: str, per_pixel: float, norm: Norm) -> None:
    """In floats a pixel and channel of the first layer, as the docstring of Bands says."""
    net = network(norm, kind)
    bands = Watched(net, FP32, 8)
    bands.translate(lambda a, b: torch.zeros(1, 3, b - a, 64), 128, 64, lambda a, rows: None)
    ngf = 3 if kind == "unet" else 6
    assert 0 < bands.most <= per_pixel * 128 * 64 * ngf
    assert not any(file.path.exists() for file in bands.files)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FeatureMapFile, "write", full)
    with pytest.raises(ConfigError, match=r"No space left on device.*TMPDIR"):
        translate_in_bands(network(), torch.zeros(3, 64, 64), FP32, tile=16)


@pytest.mark.parametrize(("kind", "size"), [("resnet", (64, 48)), ("unet", (192, 128))])
def test_batch_norm_of_each_image(kind: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net, x = network("batch", kind), torch.rand(3, *size) * 2 - 1
    set_test_mode(net, "no_dropout")
    with torch.no_grad():
        expected = net(x[None])[0]
    found = translate_in_bands(net, x, FP32, tile=32)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
