"""Patch discriminators (Isola et al. 2017, section 3.2.2; Zhu et al. 2017, section 7.2)."""

from torch import Tensor, nn

from gantrain.networks.layers import Norm, make_norm, uses_bias
from gantrain.networks.spec import self_describing


@self_describing
class PatchDiscriminator(nn.Module):
    """PatchGAN: `layers` stride-2 convolutions and two stride-1 ones, all 4x4.

    Args:
        in_channels: channels of the image.
        ndf: channels of the first layer, doubled by each layer up to 8 ndf.
        layers: stride-2 convolutions; 1 to 5 give a receptive field of 16, 34, 70, 142, 286 px.
        norm: see `make_norm`.
    """

    def __init__(
        self, in_channels: int, ndf: int = 64, layers: int = 3, norm: Norm = "instance"
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.least_side = 3 * 2**layers  # the last two convolutions shrink 3x3 to 1x1
        # No norm after the first convolution, as in the paper.
        modules: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = ndf
        for n in range(1, layers + 1):
            wider = ndf * min(2**n, 8)
            stride = 2 if n < layers else 1  # the last layers only widen the receptive field
            modules += [
                nn.Conv2d(width, wider, 4, stride, 1, bias=bias),
                make_norm(norm, wider),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        # No sigmoid: the losses take logits.
        self.model = nn.Sequential(*modules, nn.Conv2d(width, 1, 4, 1, 1))

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
    """

    def __init__(self, in_channels: int, ndf: int = 64, norm: Norm = "instance") -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            make_norm(norm, 2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),  # depends on the norm, as in the reference
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> logits [N, 1, H, W]."""
        return self.net(x)
