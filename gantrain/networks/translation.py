"""CycleGAN's networks by the names its config uses."""

from torch import nn

from gantrain.networks.layers import Norm
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.unet import UnetGenerator

_UNET_DOWNS = {"unet_128": 7, "unet_256": 8}


def make_generator(
    name: str, in_channels: int, out_channels: int, ngf: int, blocks: int, norm: Norm, dropout: bool
) -> nn.Module:
    """Image to image, both [-1, 1]: "resnet" with `blocks` blocks, "unet_128" or "unet_256"."""
    if name == "resnet":
        return ResnetGenerator(in_channels, out_channels, ngf, blocks, norm, dropout)
    return UnetGenerator(in_channels, out_channels, ngf, _UNET_DOWNS[name], norm, dropout)


def make_discriminator(name: str, in_channels: int, ndf: int, layers: int, norm: Norm) -> nn.Module:
    """Image to a map of logits: "patch" with `layers` stride-2 layers, or "pixel"."""
    if name == "patch":
        return PatchDiscriminator(in_channels, ndf, layers, norm)
    return PixelDiscriminator(in_channels, ndf, norm)


def size_multiple(generator: str) -> int:
    """What the sides of the images must be multiples of."""
    return 2 ** _UNET_DOWNS.get(generator, 2)
