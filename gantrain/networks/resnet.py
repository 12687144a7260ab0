"""CycleGAN's residual generator (Zhu et al. 2017, section 7.2; Johnson et al. 2016)."""

import torch
from torch import Tensor, nn

from gantrain.networks.eval_mode import Dropout, TestMode, set_test_mode
from gantrain.networks.layers import Norm, ReflectionPad, in_float32, make_norm, uses_bias
from gantrain.networks.spec import self_describing


class ResnetBlock(nn.Module):
    """x + (pad, conv, norm, relu, [dropout], pad, conv, norm)(x); nothing after the sum.

    Args:
        channels: channels of the input and the output.
        norm: see `make_norm`.
        dropout: adds a dropout of probability 0.5.
    """

    def __init__(self, channels: int, norm: Norm, dropout: bool) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.conv_block = nn.Sequential(
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(norm, channels),
            nn.ReLU(),
            *([Dropout(0.5)] if dropout else []),
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, channels, H, W]."""
        return x + self.conv_block(x)


@self_describing
class ResnetGenerator(nn.Module):
    """Image-to-image generator: two downsamplings, `blocks` residual blocks, two upsamplings.

    Parameter names are those of the reference's checkpoints.

    Args:
        in_channels: channels of the source domain.
        out_channels: channels of the target domain.
        ngf: channels of the first layer; the blocks have 4 times as many.
        blocks: number of residual blocks; the paper uses 6 for 128 px and 9 from 256 px on.
        norm: see `make_norm`.
        dropout: adds a dropout of probability 0.5 to each block.
        test_mode: see `set_test_mode`.
    """

    size_multiple = 4  # image sides must be multiples of it
    least_side = 8  # a block's reflection padding needs feature maps of at least 2x2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        dropout: bool = False,
        test_mode: TestMode = "eval",
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.out_channels = out_channels

        def with_norm_and_relu(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, make_norm(norm, channels), nn.ReLU()]

        stem = nn.Conv2d(in_channels, ngf, 7, bias=bias)
        layers = [ReflectionPad(3), *with_norm_and_relu(stem, ngf)]
        for width in (ngf, 2 * ngf):
            down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias)
            layers += with_norm_and_relu(down, 2 * width)
        layers += [ResnetBlock(4 * ngf, norm, dropout) for _ in range(blocks)]
        for width in (4 * ngf, 2 * ngf):
            # output_padding 1 makes the size exactly twice that of the input.
            up = nn.ConvTranspose2d(
                width, width // 2, 3, stride=2, padding=1, output_padding=1, bias=bias
            )
            layers += with_norm_and_relu(up, width // 2)
        # No norm here: it would fix the brightness and contrast of the image.
        layers += [ReflectionPad(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        set_test_mode(self, test_mode)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W] in [-1, 1].

        H and W are multiples of 4 and at least 8.
        """
        *body, last, _ = self.model  # _ is the tanh, which has to run in float32 too
        for layer in body:
            x = layer(x)
        return torch.tanh(in_float32(last, x))
