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
