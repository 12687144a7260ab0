"""Patch discriminators (Isola et al. 2017, section 3.2.2; Zhu et al. 2017, section 7.2)."""

from torch import Tensor, nn

from gantrain.networks.layers import Downsample, Norm, make_norm, uses_bias
from gantrain.networks.resampling import BlurDown
from gantrain.networks.spec import self_describing
from gantrain.networks.spectral_norm import make_conv


@self_describing
class PatchDiscriminator(nn.Module):
    """PatchGAN: `layers` stride-2 convolutions and two stride-1 ones, all 4x4.

    Args:
        in_channels: channels of the image.
        ndf: channels of the first layer, doubled by each layer up to 8 ndf.
        layers: stride-2 convolutions; 1 to 5 give a receptive field of 16, 34, 70, 142, 286 px.
        norm: see `make_norm`.
        downsample: "strided"; or "antialias": convolutions have stride 1, and what halves the maps
            is a blur of their activations (`BlurDown`), as in CUT.
        spectral_norm: whether weights are divided by their largest singular value, see
            `SpectralConv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        ndf: int = 64,
        layers: int = 3,
        norm: Norm = "instance",
        downsample: Downsample = "strided",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.least_side = 3 * 2**layers  # the last two convolutions shrink 3x3 to 1x1
        halves = 2 if downsample == "strided" else 1

        def blur(width: int) -> list[nn.Module]:
            return [BlurDown(width)] if downsample == "antialias" else []

        # No norm after the first convolution, as in the paper.
        first = make_conv(spectral_norm, in_channels, ndf, 4, halves, 1)
        modules: list[nn.Module] = [first, nn.LeakyReLU(0.2), *blur(ndf)]
        width = ndf
        for n in range(1, layers + 1):
            wider = ndf * min(2**n, 8)
            is_last = n == layers  # the last layers only widen the receptive field
            stride = 1 if is_last else halves
            modules += [
                make_conv(spectral_norm, width, wider, 4, stride, 1, bias=bias),
                make_norm(norm, wider),
                nn.LeakyReLU(0.2),
                *([] if is_last else blur(wider)),
            ]
            width = wider
        # No sigmoid: the losses take logits.
        self.model = nn.Sequential(*modules, make_conv(spectral_norm, width, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> logits [N, 1, H', W'], 30x30 for 256 px and 3 layers."""
        return self.model(x)


@self_describing
class PixelDiscriminator(nn.Module):
    """PixelGAN: 1x1 convolutions, so each pixel is judged by its colour alone.

    Args:
        in_channels: channels of the image.
        ndf: channels of the first layer; the second has twice as many.
        norm: see `make_norm`.
        spectral_norm: whether weights are divided by their largest singular value, see
            `SpectralConv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        ndf: int = 64,
        norm: Norm = "instance",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.net = nn.Sequential(
            make_conv(spectral_norm, in_channels, ndf, 1),
            nn.LeakyReLU(0.2),
            make_conv(spectral_norm, ndf, 2 * ndf, 1, bias=bias),
            make_norm(norm, 2 * ndf),
            nn.LeakyReLU(0.2),
            # Its bias depends on the norm, as in the reference.
            make_conv(spectral_norm, 2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> logits [N, 1, H, W]."""
        return self.net(x)
