"""CycleGAN's residual generator (Zhu et al. 2017, section 7.2; Johnson et al. 2016)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gantrain.networks.eval_mode import Dropout, TestMode, set_test_mode
from gantrain.networks.layers import (
    Downsample,
    Norm,
    ReflectionPad,
    Upsample,
    in_float32,
    make_norm,
    uses_bias,
)
from gantrain.networks.resampling import BlurDown, BlurUp
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
        upsample: how maps are doubled: "transpose", a transposed convolution; "resize", nearest
            neighbours and a 3x3 convolution, without checkerboards (Odena et al. 2016);
            "antialias", bilinear (`BlurUp`) and a 3x3 convolution, as in CUT.
        downsample: how they are halved: "strided", a convolution of stride 2; "antialias", one of
            stride 1 whose activations are blurred (`BlurDown`), as in CUT.
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
        upsample: Upsample = "transpose",
        downsample: Downsample = "strided",
        test_mode: TestMode = "eval",
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.in_channels, self.out_channels = in_channels, out_channels

        def with_norm_and_relu(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, make_norm(norm, channels), nn.ReLU()]

        stem = nn.Conv2d(in_channels, ngf, 7, bias=bias)
        layers = [ReflectionPad(3), *with_norm_and_relu(stem, ngf)]
        stride = 2 if downsample == "strided" else 1
        for width in (ngf, 2 * ngf):
            down = nn.Conv2d(width, 2 * width, 3, stride=stride, padding=1, bias=bias)
            layers += with_norm_and_relu(down, 2 * width)
            layers += [BlurDown(2 * width)] if downsample == "antialias" else []
        layers += [ResnetBlock(4 * ngf, norm, dropout) for _ in range(blocks)]
        for width in (4 * ngf, 2 * ngf):
            *resize, up = _doubling(upsample, width, bias)
            layers += [*resize, *with_norm_and_relu(up, width // 2)]
        # No norm here: it would fix the brightness and contrast of the image.
        layers += [ReflectionPad(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        set_test_mode(self, test_mode)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W] in [-1, 1].

        H and W are multiples of 4 and at least 8.
        """
        return self.with_features(x, [])[0]

    def with_features(self, x: Tensor, layers: list[int]) -> tuple[Tensor, list[Tensor]]:
        """Return the image as `forward` does, and the outputs of some layers on the way.

        Args:
            x: [N, in_channels, H, W] in [-1, 1].
            layers: indices of layers in `model`, ascending. A layer in front of a ReLU is read
                behind it, as in CUT's reference code, whose ReLU overwrites its input.

        Returns:
            [N, out_channels, H, W], and [N, C, H', W'] of each layer, see `feature_shapes`.
        """
        *body, last, _ = self.model  # _ is the tanh, which has to run in float32 too
        x, features = self._run(body, x, layers)
        return torch.tanh(in_float32(last, x)), features

    def encode(self, x: Tensor, layers: list[int]) -> list[Tensor]:
        """Return the features of `with_features` alone; what comes after them is not computed."""
        modules = [*self.model][: self._read_at(max(layers)) + 1]
        return self._run(modules, x, layers)[1]

    def _run(
        self, modules: Iterable[nn.Module], x: Tensor, layers: list[int]
    ) -> tuple[Tensor, list[Tensor]]:
        read_at = [self._read_at(layer) for layer in layers]
        features: list[Tensor] = []
        for i, module in enumerate(modules):
            x = module(x)
            features += [x] * read_at.count(i)
        return x, features

    def _read_at(self, layer: int) -> int:
        """Return the index of the module whose output is that of a layer."""
        return layer + isinstance(self.model[layer + 1], nn.ReLU)

    def feature_shapes(self, h: int, w: int, layers: list[int]) -> list[tuple[int, int, int]]:
        """Return (C, H', W') of the features of `with_features` for images of h x w pixels."""
        shapes, channels = [], self.in_channels
        for i, module in enumerate(self.model):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                channels = module.out_channels
            h, w = _size_after(module, h), _size_after(module, w)
            shapes += [(channels, h, w)] * (i in layers)
        return shapes

    def encoder_layers(self) -> list[int]:
        """Return CUT's layers of this network: padded image, both halvings, blocks 1 and 5.

        They are 0, 4, 8, 12 and 16 of the published network. With fewer blocks than 5, the last one
        takes the place of the fifth.
        """
        convolutions = [i for i, module in enumerate(self.model) if isinstance(module, nn.Conv2d)]
        blocks = [i for i, module in enumerate(self.model) if isinstance(module, ResnetBlock)]
        return [0, *convolutions[1:3], *dict.fromkeys((blocks[0], blocks[:5][-1]))]


def _doubling(upsample: Upsample, channels: int, bias: bool) -> list[nn.Module]:
    """Return modules [N, channels, H, W] -> [N, channels / 2, 2 H, 2 W]."""
    if upsample == "transpose":
        # output_padding 1 makes the size exactly twice that of the input.
        return [nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1, bias=bias)]
    resize = nn.Upsample(scale_factor=2) if upsample == "resize" else BlurUp(channels)
    return [resize, nn.Conv2d(channels, channels // 2, 3, padding=1, bias=bias)]


def _size_after(module: nn.Module, size: int) -> int:
    """Return the length of one side of a map behind a module of the generator."""
    if isinstance(module, ReflectionPad):
        return size + 2 * module.padding
    if isinstance(module, nn.Conv2d):
        kernel, stride, padding = module.kernel_size[0], module.stride[0], module.padding[0]
        return (size + 2 * int(padding) - kernel) // stride + 1
    if isinstance(module, BlurDown):
        return -(-size // 2)
    return 2 * size if isinstance(module, nn.ConvTranspose2d | nn.Upsample | BlurUp) else size
