"""CycleGAN's networks by their names in the config."""

from torch import nn

from gantrain.networks.eval_mode import TestMode
from gantrain.networks.layers import Downsample, Norm, Upsample
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.unet import UnetGenerator

# 2^7 = 128: at its nominal size, the innermost feature map is a single pixel.
_UNET_DOWNS = {"unet_64": 6, "unet_128": 7, "unet_256": 8}


def make_generator(
    name: str,
    in_channels: int,
    out_channels: int,
    ngf: int,
    blocks: int,
    norm: Norm,
    dropout: bool,
    upsample: Upsample = "transpose",
    downsample: Downsample = "strided",
    test_mode: TestMode = "eval",
) -> nn.Module:
    """Return an image-to-image generator with values in [-1, 1].

    Args:
        name: "resnet", "unet_64", "unet_128" or "unet_256".
        in_channels: channels of the source domain.
        out_channels: channels of the target domain.
        ngf: channels of the first layer.
        blocks: residual blocks of "resnet"; the U-Nets ignore it.
        norm: see `make_norm`.
        dropout: whether the network has dropout layers.
        upsample: that of "resnet", see `ResnetGenerator`.
        downsample: likewise.
        test_mode: see `set_test_mode`.

    Raises:
        ValueError: a U-Net with another way to change the size than its strided convolutions.
    """
    if name == "resnet":
        return ResnetGenerator(
            in_channels, out_channels, ngf, blocks, norm, dropout, upsample, downsample, test_mode
        )
    if (upsample, downsample) != ("transpose", "strided"):
        raise ValueError(f"{name} has strided convolutions: not {upsample} and {downsample}")
    downs = _UNET_DOWNS[name]
    return UnetGenerator(in_channels, out_channels, ngf, downs, norm, dropout, test_mode)


def make_discriminator(
    name: str,
    in_channels: int,
    ndf: int,
    layers: int,
    norm: Norm,
    downsample: Downsample = "strided",
    spectral_norm: bool = False,
) -> nn.Module:
    """Return a discriminator [N, in_channels, H, W] -> logits [N, 1, H', W'].

    Args:
        name: "patch" or "pixel".
        in_channels: channels of the image.
        ndf: channels of the first layer.
        layers: stride-2 convolutions of "patch"; "pixel" ignores it.
        norm: see `make_norm`.
        downsample: that of "patch", see `PatchDiscriminator`; "pixel" keeps the size.
        spectral_norm: see `PatchDiscriminator`.
    """
    if name == "patch":
        return PatchDiscriminator(in_channels, ndf, layers, norm, downsample, spectral_norm)
    return PixelDiscriminator(in_channels, ndf, norm, spectral_norm)


def size_multiple(generator: str) -> int:
    """Return the number of pixels that the sides of images must be multiples of."""
    # The residual generator downsamples twice.
    return 2 ** _UNET_DOWNS.get(generator, 2)
