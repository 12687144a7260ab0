"""`init_from` with weights in the names of the StyleGAN2 reference, and with our own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.init_from import load_weights
from gantrain.errors import ConfigError
from gantrain.gans.base import ImageSpec
from gantrain.gans.r3gan import R3GAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3
from gantrain.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from gantrain.networks.stylegan3.generator import StyleGAN3Generator
from gantrain.snapshot import save_snapshot
from tests.helpers.golden_files import load, under

TINY: dict[str, Any] = {"channel_base": 256, "channel_max": 16}


def make(side: int = 32, **settings: Any) -> StyleGAN:
    images = ImageSpec({"image": 3}, (side, side), batch=4)
    return StyleGAN(images, **{**TINY, "z_dim": 16, "w_dim": 16, "mbstd_group": 2, **settings})


def reference() -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Golden generator arrays, golden discriminator arrays, and both as "G_ema.*" and "D.*"."""
    _, g = load("stylegan2_generator_unconditional")
    _, d = load("stylegan2_discriminator_unconditional")
    tensors = {f"G_ema.{k}": v for k, v in under(g, "state/").items()}
    tensors |= {f"D.{k}": v for k, v in under(d, "state/").items()}
    assert any(key.endswith("resample_filter") for key in tensors)
    return g, d, tensors


def save(tensors: dict[str, Tensor], path: Path, nested: bool) -> Path:
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
        return path
    if nested:
        tensors = {player: under(tensors, f"{player}.") for player in ("G_ema", "D")}  # type: ignore[misc]
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("freeze_d", [0, 5])
@pytest.mark.parametrize(
    ("name", "nested"), [("w.pth", False), ("w.pth", True), ("w.safetensors", False)]
)
def test_outputs_are_those_of_the_reference(
    tmp_path: Path, name: str, nested: bool, freeze_d: int
) -> None:
    g, d, tensors = reference()
    gan = make(freeze_d=freeze_d)
    assert load_weights(gan, save(tensors, tmp_path / name, nested)) == ["G.G", "D.D"]
    ws = gan.G["G"].mapping(g["z"], truncation_psi=0.7)
    torch.testing.assert_close(ws, g["ws/psi0.7_cutoffNone"], rtol=0, atol=1e-5)
    image = gan.G["G"].synthesis(gan.G["G"].mapping(g["z"]), noise_mode="const")
    torch.testing.assert_close(image, g["img/noise_const"], rtol=0, atol=1e-5)
    torch.testing.assert_close(gan.D(d["x"]), d["logits"].flatten(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_stylegan3_of_the_reference(tmp_path: Path, name: str) -> None:
    """Its constant filters are in the file, but not here."""
    _, g = load("stylegan3_t")
    tensors = {f"G_ema.{k}": v for k, v in under(g, "state/").items()}
    assert any(key.endswith("down_filter") for key in tensors)
    gan = StyleGAN3(ImageSpec({"image": 3}, (32, 32), batch=4), channel_base=64, channel_max=8)
    sizes = {"z_dim": 16, "w_dim": 16, "channel_base": 256, "channel_max": 16, "num_layers": 6}
    gan.G["G"] = StyleGAN3Generator([32, 32], **sizes)
    assert load_weights(gan, save(tensors, tmp_path / name, nested=False)) == ["G.G"]
    torch.testing.assert_close(gan.G["G"](g["z"]), g["img"], rtol=0, atol=1e-5)


def test_g_goes_before_its_average(tmp_path: Path) -> None:
    _, _, tensors = reference()
    own = {k.replace("G_ema.", "G."): v + 1 for k, v in tensors.items() if k[0] == "G"}
    gan = make()
    load_weights(gan, save({**tensors, **own}, tmp_path / "w.pth", nested=False))
    bias = gan.G["G"].state_dict()["mapping.fc0.bias"]
    assert torch.equal(bias, own["G.mapping.fc0.bias"])


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = save(reference()[2], tmp_path / "w.pth", nested=False)
    with pytest.raises(ConfigError) as error:
        load_weights(make(side=16), path)
    [text] = error.value.problems
    assert "G.G differs in" in text and "in the file" in text and "D.D differs in" in text


def test_a_damaged_file_gets_a_sentence(tmp_path: Path) -> None:
    for name in ("w.safetensors", "w.pth"):
        path = save(reference()[2], tmp_path / name, nested=False)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ConfigError, match="damaged"):
            load_weights(make(), path)


@pytest.mark.parametrize("cycle", [0.0, 1.0])
def test_our_own_files(tmp_path: Path, cycle: float) -> None:
    """A second stage can begin from a run without an encoder, and the other way round."""
    old, new, third = make(lambda_image=1.0), make(lambda_image=cycle), make(lambda_image=cycle)
    path = CheckpointStore(tmp_path / "checkpoints", 1).save(4, {"gan": old.state_dict()})
    names = ["G.G", *(["G.E"] if cycle else []), "D.D"]
    assert load_weights(new, path) == names
    networks = dict(old.G.items())
    specs = {name: net.spec for name, net in networks.items()}
    save_snapshot(tmp_path / "s.pt", networks, specs, {})
    assert load_weights(third, tmp_path / "s.pt") == names[:-1]
    for gan in (new, third):
        for name in dict(gan.G.named_children()):
            ours, theirs = gan.G[name].state_dict(), old.G[name].state_dict()
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_r3gan_has_names_of_its_own(tmp_path: Path) -> None:
    meta, arrays = load("r3gan_networks_conditional")
    gan = R3GAN(ImageSpec({"image": 3}, (8, 8), meta["G"]["c_dim"], batch=4), channel_max=8)
    sizes = {"widths": [12, 12], "group_width": 8}
    gan.G = R3GANGenerator([8, 8], 3, 5, z_dim=6, blocks=[2, 1], **sizes)
    gan.D = R3GANDiscriminator([8, 8], 3, 5, blocks=[2, 1], **sizes)
    tensors = {f"G_ema.{k}": v for k, v in under(arrays, "state/G/").items()}
    tensors |= {f"D.{k}": v for k, v in under(arrays, "state/D/").items()}
    for nested in (False, True):
        path = save(tensors, tmp_path / f"{nested}.pth", nested)
        assert load_weights(gan, path) == ["G.G", "D.D"]
        fake = gan.G(arrays["z"], arrays["c"])
        torch.testing.assert_close(fake, arrays["img"], rtol=0, atol=1e-5)
        logits = gan.D(fake, arrays["c"])
        torch.testing.assert_close(logits, arrays["logits/fake"], rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match=r"of 8 px.*of 16x16 px|differs in"):
        load_weights(R3GAN(ImageSpec({"image": 3}, (16, 16), 5, batch=4), channel_max=8), path)
