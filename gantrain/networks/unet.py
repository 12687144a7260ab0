"""The U-Net generator (Ronneberger et al. 2015, as in pix2pix: Isola et al. 2017)."""

import torch
from torch import Tensor, nn

from gantrain.networks.eval_mode import Dropout, TestMode, set_test_mode
from gantrain.networks.layers import Norm, in_float32, make_norm, uses_bias
from gantrain.networks.spec import self_describing


class UnetLevel(nn.Module):
    """One downsampling, the level below, one upsampling; returns cat([x, result]).

    Parameter names are those of the reference's checkpoints, which is why all layers sit in one
    Sequential.

    Args:
        outer: channels before the downsampling.
        inner: channels after it.
        below: the next lower level; None: this is the innermost one.
        norm: see `make_norm`.
        dropout: adds a dropout of probability 0.5.
    """

    def __init__(
        self, outer: int, inner: int, below: "UnetLevel | None", norm: Norm, dropout: bool
    ) -> None:
        super().__init__()
        bias = uses_bias(norm)
        # The innermost map can be 1x1, which a per-image norm would erase: no norm on the way down.
        down_norm = [] if below is None else [make_norm(norm, inner)]
        middle = [] if below is None else [below]
        from_below = inner if below is None else 2 * inner  # with the skip connection of `below`
        self.model = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias),
            *down_norm,
            *middle,
            nn.ReLU(),
            nn.ConvTranspose2d(from_below, outer, 4, stride=2, padding=1, bias=bias),
            make_norm(norm, outer),
            *([Dropout(0.5)] if dropout else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, outer, H, W] -> [N, 2 * outer, H, W]."""
        # x first: this is the order of input channels in the weights of the reference.
        return torch.cat([x, self.model(x)], dim=1)


class _Outermost(nn.Module):
    """Downsampling without norm, the levels below, upsampling to the image, tanh in float32."""

    def __init__(self, in_channels: int, out_channels: int, ngf: int, below: UnetLevel, norm: Norm):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(in_channels, ngf, 4, stride=2, padding=1, bias=uses_bias(norm)),
            below,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * ngf, out_channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        # One by one, because only the last convolution and the tanh leave autocast.
        down, below, relu, last, tanh = self.model
        return tanh(in_float32(last, relu(below(down(x)))))


@self_describing
class UnetGenerator(nn.Module):
    """Image-to-image generator with `downs` downsamplings and skip connections.

    Args:
        in_channels: channels of the source domain.
        out_channels: channels of the target domain.
        ngf: channels of the first level, doubled by each level up to 8 ngf.
        downs: 7 for unet_128, 8 for unet_256.
        norm: see `make_norm`.
        dropout: adds a dropout of probability 0.5 to the levels with 8 ngf channels on both sides,
            except the innermost one.
        test_mode: see `set_test_mode`.

    Raises:
        ValueError: fewer than 5 downsamplings.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int = 64,
        downs: int = 8,
        norm: Norm = "instance",
        dropout: bool = False,
        test_mode: TestMode = "eval",
    ) -> None:
        super().__init__()
        if downs < 5:
            raise ValueError(f"UnetGenerator needs downs >= 5, not {downs}")
        # Built from the innermost level outwards, since each level contains the one below.
        level = UnetLevel(8 * ngf, 8 * ngf, None, norm, dropout=False)
        for _ in range(downs - 5):
            level = UnetLevel(8 * ngf, 8 * ngf, level, norm, dropout)
        for width in (4 * ngf, 2 * ngf, ngf):
            level = UnetLevel(width, 2 * width, level, norm, dropout=False)
        self.model = _Outermost(in_channels, out_channels, ngf, level, norm)
        self.out_channels = out_channels
        self.size_multiple = 2**downs  # image sides must be multiples of it
        set_test_mode(self, test_mode)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W] in [-1, 1]; see `size_multiple`."""
        return self.model(x)
