"""What a file of the reference's holds is told from names and shapes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.interop import cyclegan
from gantrain.networks.layers import Downsample, Norm, Upsample
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.resampling import BlurDown, BlurUp
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.spec import spec_of
from gantrain.networks.unet import UnetGenerator
from tests.helpers.golden_files import load, under

GOLDEN = {
    "cyclegan_generator_resnet_6blocks": "G.ab",
    "cyclegan_generator_unet_128": "G.ab",
    "cyclegan_discriminator_basic": "D.a",
    "cyclegan_discriminator_pixel": "D.a",
}


@pytest.mark.parametrize(("name", "ours"), GOLDEN.items())
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_references_own_weights(name: str, ours: str, prefix: str, tmp_path: Path) -> None:
    _, golden = load(name)
    weights = {f"{prefix}{key}": value for key, value in under(golden, "state/").items()}
    torch.save(weights, tmp_path / "net.pth")
    network = cyclegan.rebuild_network(cyclegan.read_state_dict(tmp_path / "net.pth"), ours)
    with torch.no_grad():
        torch.testing.assert_close(network(golden["x"]), golden["y"], atol=1e-5, rtol=0)


NORMS: list[Norm] = ["instance", "batch", "none"]
GENERATORS = [
    *[ResnetGenerator(3, 1, 4, blocks, norm, dropout)
      for norm in NORMS for blocks, dropout in ((1, False), (6, True), (9, False))],
    *[UnetGenerator(1, 4, 2, downs, norm) for norm in NORMS for downs in (5, 7, 8)],
]  # fmt: skip
WAYS: list[tuple[Upsample, Downsample]] = [
    ("antialias", "antialias"), ("transpose", "antialias"), ("resize", "strided")
]  # fmt: skip
GENERATORS += [
    ResnetGenerator(3, 3, 4, blocks, norm, False, *ways)
    for blocks in (1, 6) for norm in NORMS for ways in WAYS
]  # fmt: skip
DISCRIMINATORS = [
    *[PatchDiscriminator(3, 4, n, norm, "antialias") for norm in NORMS for n in (1, 3, 5)],
    *[PatchDiscriminator(4, 8, layers, norm) for norm in NORMS for layers in (1, 3, 5)],
    *[PixelDiscriminator(1, 8, norm) for norm in NORMS],
]


def as_reference_saves(network: nn.Module) -> dict[str, Tensor]:
    """Without norm the reference has no biases where a norm would follow."""
    weights = dict(network.state_dict())
    if spec_of(network)["args"]["norm"] == "none":
        for key in [key for key in weights if key.endswith("bias")]:
            if bool((weights[key] == 0).all()):
                del weights[key]
    return weights


@pytest.mark.parametrize(
    "network", [*GENERATORS, *DISCRIMINATORS], ids=lambda net: str(spec_of(net)["args"])
)
def test_every_architecture_is_recognized(network: nn.Module) -> None:
    if spec_of(network)["args"]["norm"] == "none":
        inner = [n for n, m in network.named_modules() if hasattr(m, "bias") and m.bias is not None]
        for name in inner[:-1] if isinstance(network, ResnetGenerator) else inner[1:-1]:
            nn.init.zeros_(network.get_submodule(name).bias)  # type: ignore[arg-type]
    name = "G.ba" if isinstance(network, ResnetGenerator | UnetGenerator) else "D.b"
    found = cyclegan.rebuild_network(as_reference_saves(network), name)
    assert spec_of(found) == spec_of(network)
    for key, value in network.state_dict().items():
        assert torch.equal(found.state_dict()[key], value)


def test_stale_statistics_of_instance_norm_are_left_out() -> None:
    network = ResnetGenerator(3, 3, 4, 1)
    weights = dict(network.state_dict())
    for key in ("model.2.running_mean", "model.2.running_var", "model.2.num_batches_tracked"):
        weights[key] = torch.ones(4)
    assert spec_of(cyclegan.rebuild_network(weights, "G.ab")) == spec_of(network)


def test_files_are_found_by_their_names(tmp_path: Path) -> None:
    for moment in ("5", "200", "latest"):
        for part in ("G_A", "G_B", "D_A", "D_B"):
            (tmp_path / f"{moment}_net_{part}.pth").touch()
    found = cyclegan.find_files([str(tmp_path)])
    assert {name: file.name for name, file in found.items()} == {
        "G.ab": "latest_net_G_A.pth",
        "G.ba": "latest_net_G_B.pth",
        "D.b": "latest_net_D_A.pth",  # theirs judges translations into b
        "D.a": "latest_net_D_B.pth",
    }
    for part in ("G_A", "G_B", "D_A", "D_B"):
        (tmp_path / f"latest_net_{part}.pth").unlink()
    assert cyclegan.find_files([str(tmp_path)])["G.ab"].name == "200_net_G_A.pth"
    assert list(cyclegan.find_files([str(tmp_path / "5_net_G_B.pth")])) == ["G.ba"]
    (tmp_path / "horse2zebra_net_G.pth").touch()
    assert list(cyclegan.find_files([str(tmp_path / "horse2zebra_net_G.pth")])) == ["G.ab"]


def test_what_is_no_weights_is_said(tmp_path: Path) -> None:
    (tmp_path / "latest_net_G_A.pth").write_bytes(b"not a file of torch's")
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        cyclegan.read_state_dict(tmp_path / "latest_net_G_A.pth")
    torch.save(nn.Linear(1, 1), tmp_path / "whole.pth")  # a pickled module would run code
    with pytest.raises(ConfigError, match=r"never code.*state_dict"):
        cyclegan.read_state_dict(tmp_path / "whole.pth")
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="holds no state dict"):
        cyclegan.read_state_dict(tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="fit no network of the reference \\("):
        cyclegan.rebuild_network({"layer.weight": torch.ones(2)}, "G.ab")
    with pytest.raises(ConfigError, match="fit no network of the reference \\("):
        cyclegan.rebuild_network(PatchDiscriminator(3, 4).state_dict(), "G.ab")
    for source, said in (
        (["nowhere"], "there is no such file or folder"),
        ([str(tmp_path / "other.pth")], "does not say which network"),
        ([str(tmp_path / "empty")], "holds no generator"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match=said):
            cyclegan.find_files(source)


def test_cuts_networks_are_recognized() -> None:
    _, golden = load("cut_training_steps")
    for part, name in (("G", "G.ab"), ("D", "D.b"), ("F", "F.F")):
        weights = under(golden, f"init/{part}/")
        blurs = {"G": {7: 8, 11: 16, 18: 16, 22: 8}, "D": {2: 4, 6: 8, 10: 16}, "F": {}}[part]
        for layer, channels in blurs.items():
            blur = BlurUp(channels) if layer > 11 else BlurDown(channels)
            weights[f"model.{layer}.filt"] = blur.filt
        found = cyclegan.rebuild_network(weights, name)
        assert found.state_dict().keys() == weights.keys()
        assert all(torch.equal(x, found.state_dict()[key]) for key, x in weights.items())
    assert spec_of(found)["args"] == {"channels": [3, 8, 16, 16, 16], "width": 12}
    with pytest.raises(ConfigError, match="fit no network"):
        cyclegan.rebuild_network({"mlp_1.0.weight": torch.zeros(2, 2)}, "F.F")
