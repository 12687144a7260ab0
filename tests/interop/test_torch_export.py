"""A .pt2 file does what the network does, at sizes it was not traced at, without gantrain."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gantrain.errors import ConfigError
from gantrain.interop import torch_export
from gantrain.interop.graph import TOLERANCE
from gantrain.interop.torch_export import torch_export_bytes
from gantrain.networks.dcgan import DCGANGenerator
from gantrain.networks.layers import Downsample, Norm, Upsample
from gantrain.networks.r3gan import R3GANGenerator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan3.generator import Config, StyleGAN3Generator
from gantrain.networks.unet import UnetGenerator
from tests.interop.test_onnx_file import Branching, trained


def run(content: bytes, *inputs: torch.Tensor) -> torch.Tensor:
    return torch.export.load(io.BytesIO(content)).module()(*inputs)


def metadata(content: bytes) -> dict[str, str]:
    files = {"gantrain.json": ""}
    torch.export.load(io.BytesIO(content), extra_files=files)
    return json.loads(files["gantrain.json"])


@pytest.mark.parametrize("norm", ["instance", pytest.param("batch", marks=pytest.mark.ci)])
@pytest.mark.parametrize("kind", ["resnet", "unet"])
def test_translation_of_any_number_and_size(kind: str, norm: Norm) -> None:
    if kind == "resnet":
        network = trained(ResnetGenerator(3, 1, 6, 2, norm, dropout=True))
        sizes = [(1, 8, 8), (4, 52, 20), (1, 120, 300)]
    else:
        network = trained(UnetGenerator(3, 1, 3, 5, norm, dropout=True))
        sizes = [(1, 32, 32), (4, 32, 96), (1, 160, 64)]
    content, difference = torch_export_bytes(network, {"direction": "ab"}, channels=3)
    assert difference < 2e-6
    for n, h, w in sizes:
        x = torch.rand(n, 3, h, w) * 2 - 1
        y = network(x)
        assert y.std() > 0.02
        assert (run(content, x) - y).abs().max() < TOLERANCE
    told = metadata(content)
    multiple = {"resnet": "4", "unet": "32"}[kind]
    assert told["direction"] == "ab" and told["size_multiple"] == multiple
    assert "[batch, 3, height, width] in [-1, 1]" in told["input"]
    with pytest.raises((AssertionError, RuntimeError)):
        run(content, torch.zeros(1, 1, 64, 64))
    assert str(Path(__file__).parents[2]).encode() not in content  # no path of this machine
    assert b"site-packages" not in content


@pytest.mark.ci
@pytest.mark.parametrize(
    ("upsample", "downsample"), [("resize", "strided"), ("antialias", "antialias")]
)
def test_other_ways_to_resample(upsample: Upsample, downsample: Downsample) -> None:
    made = ResnetGenerator(3, 3, 4, 1, upsample=upsample, downsample=downsample)
    network = trained(made)
    content, difference = torch_export_bytes(network, {})
    assert difference < 2e-6
    for n, h, w in [(1, 8, 8), (3, 52, 20)]:
        x = torch.rand(n, 3, h, w) * 2 - 1
        assert (run(content, x) - network(x)).abs().max() < TOLERANCE


def dcgan(labels: int) -> nn.Module:
    return DCGANGenerator([8, 12], 3, labels, z_dim=4, width=8)


def r3gan(labels: int) -> nn.Module:
    sizes = {"widths": [12, 8], "blocks": [1, 2], "group_width": 8}
    return R3GANGenerator([8, 12], 3, labels, z_dim=4, **sizes)


@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("make", [dcgan, r3gan])
def test_from_latents_alone(make: Callable[[int], nn.Module], labels: int) -> None:
    network = trained(make(labels))
    content, difference = torch_export_bytes(network, {})
    assert difference < 2e-6
    z, c = torch.randn(3, 4), torch.eye(3)
    y = network(z, c if labels else None).clamp(-1, 1)
    assert y.std() > 0.02
    assert (run(content, z, *([c] if labels else [])) - y).abs().max() < TOLERANCE
    assert ("c: float32 [batch, 3]" in metadata(content)["input"]) == bool(labels)


@pytest.mark.parametrize("labels", [pytest.param(0, marks=pytest.mark.ci), 3])
@pytest.mark.parametrize("architecture", ["skip", pytest.param("resnet", marks=pytest.mark.ci)])
def test_stylegan_with_its_truncation_and_constant_noise(labels: int, architecture: str) -> None:
    sizes = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
    network = trained(StyleGAN2Generator([16, 32], 3, labels, architecture=architecture, **sizes))
    content, difference = torch_export_bytes(network, {}, psi=0.5)
    assert difference < 2e-6
    given = [torch.randn(7, 16), torch.eye(3)[torch.arange(7) % 3]][: 2 if labels else 1]
    found = run(content, *given)
    options = {"truncation_psi": 0.5, "noise_mode": "const"}
    assert (found - network(*given, **options).clamp(-1, 1)).abs().max() < TOLERANCE
    for other in ({"truncation_psi": 1.0}, {"noise_mode": "none"}):
        assert (found - network(*given, **{**options, **other}).clamp(-1, 1)).abs().max() > 0.01


@pytest.mark.ci
@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("config", ["t", "r"])
def test_stylegan3(config: Config, labels: int) -> None:
    sizes = {"z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8, "num_layers": 5}
    torch.manual_seed(0)
    network = StyleGAN3Generator([16, 16], 3, labels, config=config, **sizes)
    network.eval().requires_grad_(False).mapping.w_avg.normal_()
    content, difference = torch_export_bytes(network, {}, psi=0.5)
    assert difference < 2e-5
    given = [torch.randn(7, 8), torch.eye(3)[torch.arange(7) % 3]][: 2 if labels else 1]
    y = network(*given, truncation_psi=0.5).clamp(-1, 1)
    assert y.std() > 0.02
    assert (run(content, *given) - y).abs().max() < TOLERANCE


@pytest.mark.ci
def test_a_file_is_loaded_without_the_package(tmp_path: Path) -> None:
    network = trained(ResnetGenerator(3, 3, 4, 1))
    (tmp_path / "ab.pt2").write_bytes(torch_export_bytes(network, {})[0])
    x = torch.rand(1, 3, 24, 40) * 2 - 1
    np.save(tmp_path / "x.npy", x.numpy())
    program = (
        "import sys; sys.modules['gantrain'] = None\n"
        "import numpy, torch\n"
        "network = torch.export.load('ab.pt2').module()\n"
        "y = network(torch.from_numpy(numpy.load('x.npy')))\n"
        "numpy.save('y.npy', y.detach().numpy())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert np.abs(np.load(tmp_path / "y.npy") - network(x).numpy()).max() < TOLERANCE


class OneSize(nn.Module):
    """Takes square images alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.transpose(2, 3)


@pytest.mark.parametrize("network", [OneSize(), Branching()], ids=["one size", "branching"])
def test_networks_that_cannot_be_written(network: nn.Module, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"(OneSize|Branching) cannot be written as a \.pt2 file"):
        torch_export_bytes(network.eval(), {})
    assert capfd.readouterr() == ("", "")


def test_a_file_that_differs_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    network = trained(DCGANGenerator([8, 8], 1, z_dim=2, width=4))
    other, _ = torch_export_bytes(trained(DCGANGenerator([8, 8], 1, z_dim=2, width=4)), {})
    for weight in network.parameters():
        weight.data *= 2
    monkeypatch.setattr(torch_export, "_write", lambda *_: other)
    with pytest.raises(ConfigError, match=r"\.pt2 file's results differ .* nothing is written"):
        torch_export_bytes(network, {})
