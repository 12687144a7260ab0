"""The residual generator of CycleGAN (Zhu et al. 2017, section 7.2; Johnson et al. 2016)."""

import torch
from torch import Tensor, nn

from gantrain.networks.layers import Norm, ReflectionPad, in_float32, make_norm, uses_bias
from gantrain.networks.spec import self_describing


class ResnetBlock(nn.Module):
    """x + (pad, conv, norm, relu, [dropout], pad, conv, norm)(x); nothing after the sum.

    x: [N, channels, H, W].
    """

    def __init__(self, channels: int, norm: Norm, dropout: bool) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.conv_block = nn.Sequential(
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(norm, channels),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if dropout else []),
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


@self_describing
class ResnetGenerator(nn.Module):
    """Image to image, two halvings, `blocks` residual blocks, two doublings.

    Args:
        in_channels, out_channels: channels of the images.
        ngf: width of the first layer; the blocks are 4 times as wide.
        blocks: the paper uses 6 for 128 px and 9 from 256 px on.
        norm: "instance" (default: no parameters, train() equals eval()), "batch" or "none".
        dropout: 0.5 inside the blocks.

    Shape: [N, in_channels, H, W] -> [N, out_channels, H, W], values in [-1, 1]; H and W multiples
    of 4, at least 8. Parameter names are those of the reference's checkpoints.
    """

    size_multiple = 4  # of the sides of a picture
    least_side = 8

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.out_channels = out_channels

        def normed(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, make_norm(norm, channels), nn.ReLU()]

        layers = [ReflectionPad(3), *normed(nn.Conv2d(in_channels, ngf, 7, bias=bias), ngf)]
        for width in (ngf, 2 * ngf):
            down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias)
            layers += normed(down, 2 * width)
        layers += [ResnetBlock(4 * ngf, norm, dropout) for _ in range(blocks)]
        for width in (4 * ngf, 2 * ngf):
            up = nn.ConvTranspose2d(
                width, width // 2, 3, stride=2, padding=1, output_padding=1, bias=bias
            )
            layers += normed(up, width // 2)
        layers += [ReflectionPad(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        *body, last, _ = self.model
        for layer in body:
            x = layer(x)
        return torch.tanh(in_float32(last, x))
