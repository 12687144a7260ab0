"""Forward passes equal those of the reference implementation."""

import pytest
import torch
from torch import nn

from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.unet import UnetGenerator
from tests.helpers.golden_files import load, under

NETWORKS = {
    "cyclegan_generator_resnet_6blocks": lambda: ResnetGenerator(3, 3, ngf=4, blocks=6),
    "cyclegan_generator_unet_128": lambda: UnetGenerator(3, 3, ngf=4, downs=7),
    "cyclegan_discriminator_basic": lambda: PatchDiscriminator(3, ndf=8, layers=3),
    "cyclegan_discriminator_pixel": lambda: PixelDiscriminator(3, ndf=8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_equals_reference(name: str) -> None:
    net: nn.Module = NETWORKS[name]()
    _, golden = load(name)
    net.load_state_dict(under(golden, "state/"), strict=True)  # the reference's own key names
    y = net(golden["x"])
    torch.testing.assert_close(y, golden["y"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", ["antialias", "plain"])
def test_cuts_generator_and_its_features(variant: str) -> None:
    meta, golden = load("cut_generator")
    up, down = ("antialias", "antialias") if variant == "antialias" else ("transpose", "strided")
    net = ResnetGenerator(3, 3, ngf=3, blocks=6, upsample=up, downsample=down)
    assert list(net.state_dict()) == meta["variants"][variant]["keys"]  # the reference's own
    filters = {key: x for key, x in net.state_dict().items() if key.endswith("filt")}
    net.load_state_dict({**under(golden, f"{variant}/state/"), **filters}, strict=True)
    x, layers = golden["x"].double(), meta["nce_layers"]
    y, features = net.double().with_features(x, layers)
    torch.testing.assert_close(y.float(), golden[f"{variant}/y"], atol=5e-6, rtol=0)
    shapes = net.feature_shapes(*x.shape[2:], layers)
    for layer, found, alone, shape in zip(
        layers, features, net.encode(x, layers), shapes, strict=True
    ):
        expected = golden[f"{variant}/feat/{layer}"]
        # The file is float32: its layer 16 of up to 9 is 1.01e-5 from these float64 values.
        bound = max(1e-5, 1.2e-6 * float(expected.abs().max()))
        torch.testing.assert_close(found.float(), expected, atol=bound, rtol=0)
        assert torch.equal(found, alone) and found.shape[1:] == shape


@pytest.mark.parametrize("variant", ["antialias", "plain"])
def test_cuts_discriminator(variant: str) -> None:
    meta, golden = load("cut_discriminator")
    net = PatchDiscriminator(
        3, ndf=4, downsample="antialias" if variant == "antialias" else "strided"
    )
    assert list(net.state_dict()) == meta["variants"][variant]["keys"]
    filters = {key: x for key, x in net.state_dict().items() if key.endswith("filt")}
    net.load_state_dict({**under(golden, f"{variant}/state/"), **filters}, strict=True)
    torch.testing.assert_close(net(golden["x"]), golden[f"{variant}/y"], atol=5e-6, rtol=0)
