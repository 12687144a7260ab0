"""ONNX files do what the networks do, at sizes they were not written at."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from gantrain.errors import ConfigError
from gantrain.interop import graph, onnx_file
from gantrain.interop.graph import TOLERANCE
from gantrain.interop.onnx_file import onnx_bytes
from gantrain.networks.dcgan import DCGANGenerator
from gantrain.networks.layers import Norm
from gantrain.networks.r3gan import R3GANGenerator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan3.generator import Config, StyleGAN3Generator
from gantrain.networks.unet import UnetGenerator


def trained(network: nn.Module) -> nn.Module:
    """With weights and running statistics that show in the result."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if "var" in name:
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and value.ndim != 2:
            value.copy_(0.2 * torch.randn_like(value))
    return network.eval().requires_grad_(False)


def run(content: bytes, **inputs: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {k: v.numpy() for k, v in inputs.items()})[0])


@pytest.mark.parametrize("norm", ["instance", pytest.param("batch", marks=pytest.mark.ci)])
@pytest.mark.parametrize("kind", ["resnet", pytest.param("unet", marks=pytest.mark.ci)])
def test_translation_of_any_number_and_size(kind: str, norm: Norm) -> None:
    if kind == "resnet":
        network = trained(ResnetGenerator(3, 1, 6, 2, norm, dropout=True))
        sizes = [(1, 8, 8), (4, 52, 20), (1, 120, 300)]
    else:
        network = trained(UnetGenerator(3, 1, 3, 5, norm, dropout=True))
        sizes = [(1, 32, 32), (4, 32, 96), (1, 160, 64)]
    content, difference = onnx_bytes(network, {"direction": "ab"}, channels=3)
    assert difference < 2e-5
    for n, h, w in sizes:
        x = torch.rand(n, 3, h, w) * 2 - 1
        y = network(x)
        assert y.std() > 0.02
        assert (run(content, pictures=x) - y).abs().max() < TOLERANCE


@pytest.mark.ci
def test_what_a_file_says_of_itself() -> None:
    content, _ = onnx_bytes(trained(UnetGenerator(1, 2, 2, 5)), {"direction": "ba"}, channels=1)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["direction"] == "ba" and told["size_multiple"] == "32"
    assert "[batch, 1, height, width] in [-1, 1]" in told["input"]
    places = [*model.graph.input, *model.graph.output]
    assert [place.name for place in places] == ["pictures", "translated"]
    sides = [[d.dim_param or d.dim_value for d in p.type.tensor_type.shape.dim] for p in places]
    assert sides == [["batch", 1, "height", "width"], ["batch", 2, "height", "width"]]
    assert b"site-packages" not in content and b"gantrain/networks" not in content


def dcgan(labels: int) -> nn.Module:
    return DCGANGenerator([8, 12], 3, labels, z_dim=4, width=8)


def r3gan(labels: int) -> nn.Module:
    sizes = {"widths": [12, 8], "blocks": [1, 2], "group_width": 8}
    return R3GANGenerator([8, 12], 3, labels, z_dim=4, **sizes)


@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("make", [dcgan, r3gan])
@pytest.mark.ci
def test_from_latents_alone(make: Callable[[int], nn.Module], labels: int) -> None:
    network = trained(make(labels))
    content, difference = onnx_bytes(network, {})
    assert difference < 2e-5
    z, c = torch.randn(3, 4), torch.eye(3)
    y = network(z, c if labels else None)
    assert y.std() > 0.02
    found = run(content, z=z, **({"c": c} if labels else {}))
    assert (found - y).abs().max() < TOLERANCE


@pytest.mark.parametrize("labels", [pytest.param(0, marks=pytest.mark.ci), 3])
@pytest.mark.parametrize("architecture", ["skip", pytest.param("resnet", marks=pytest.mark.ci)])
def test_stylegan_with_its_truncation_and_constant_noise(labels: int, architecture: str) -> None:
    sizes = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
    made = StyleGAN2Generator([16, 32], 3, labels, architecture=architecture, **sizes)
    network = trained(made)
    content, difference = onnx_bytes(network, {}, psi=0.5)
    assert difference < 2e-5
    z, c = torch.randn(7, 16), torch.eye(3)[torch.arange(7) % 3]
    given = {"z": z, "c": c} if labels else {"z": z}
    found = run(content, **given)
    options = {"truncation_psi": 0.5, "noise_mode": "const"}
    assert (found - network(*given.values(), **options).clamp(-1, 1)).abs().max() < TOLERANCE
    for other in ({"truncation_psi": 1.0}, {"noise_mode": "none"}):
        y = network(*given.values(), **{**options, **other}).clamp(-1, 1)
        assert (found - y).abs().max() > 0.01


@pytest.mark.parametrize("config", ["t", pytest.param("r", marks=pytest.mark.ci)])
def test_stylegan3(config: Config) -> None:
    sizes = {"z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8, "num_layers": 5}
    torch.manual_seed(0)
    network = StyleGAN3Generator([16, 16], config=config, **sizes).eval().requires_grad_(False)
    network.mapping.w_avg.normal_()
    content, difference = onnx_bytes(network, {}, psi=0.5)
    assert difference < 2e-5
    z = torch.randn(7, 8)
    y = network(z, truncation_psi=0.5).clamp(-1, 1)
    assert y.std() > 0.02
    assert (run(content, z=z) - y).abs().max() < TOLERANCE


class Constant(nn.Module):
    """What torch takes for a constant when it looks at one picture size only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / float(np.sqrt(int(x.shape[2])))


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.ci
def test_a_file_that_differs_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    network = trained(ResnetGenerator(3, 3, 4, 1))
    other = onnx_bytes(trained(ResnetGenerator(3, 3, 4, 1, "batch")), {})[0]
    monkeypatch.setattr(onnx_file, "_write", lambda *_: other)
    with pytest.raises(ConfigError, match=r"differ from torch's by up to .* nothing is written"):
        onnx_bytes(network, {})


def test_a_network_that_has_diverged() -> None:
    network = trained(DCGANGenerator([8, 8], 1, z_dim=2, width=4))
    network.project.bias.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="results of DCGANGenerator are not finite"):
        onnx_bytes(network, {})


class Cancelling(nn.Module):
    """Large terms that cancel but for their rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(128, 3, 3, padding=1)
        half = torch.randn(3, 64, 3, 3)
        self.last.weight.data = torch.cat([half, -half], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        terms = 100 * self.first(x)
        return self.last(torch.cat([terms, terms], 1)) + 0.5 * x


@pytest.mark.ci
def test_rounding_that_is_torch_s_own_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = Cancelling().eval().requires_grad_(False)
    _, difference = onnx_bytes(network, {})
    assert difference > TOLERANCE
    monkeypatch.setattr(graph, "_rounding_error", lambda *_: 0.0)
    with pytest.raises(ConfigError, match="nothing is written"):
        onnx_bytes(network, {})


@pytest.mark.parametrize("network", [Constant(), Branching()], ids=["constant", "branching"])
def test_networks_that_cannot_be_written(network: nn.Module, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written as ONNX|nothing is written"):
        onnx_bytes(network.eval(), {})
    assert capfd.readouterr() == ("", "")


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    content, difference = onnx_bytes(trained(DCGANGenerator([8, 8], 1, z_dim=2, width=4)), {})
    assert np.isnan(difference) and onnx.load_from_string(content).graph.node
