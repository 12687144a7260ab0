"""DCGAN's networks (Radford et al. 2016, arXiv 1511.06434) for sides that are multiples of 4."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gantrain.networks.layers import in_float32, init_weights
from gantrain.networks.spec import self_describing


def _up(inputs: int, outputs: int) -> nn.Sequential:
    """[N, inputs, H, W] -> [N, outputs, 2H, 2W]; batch norm brings its own bias."""
    conv = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _down(inputs: int, outputs: int, dropout: float, norm: bool) -> nn.Sequential:
    """[N, inputs, H, W] -> [N, outputs, ceil(H/2), ceil(W/2)]."""
    conv = nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=not norm)
    layers = [nn.BatchNorm2d(outputs)] if norm else []
    return nn.Sequential(conv, *layers, nn.LeakyReLU(0.2), nn.Dropout(dropout))


@self_describing
class DCGANGenerator(nn.Module):
    """z [N, z_dim] (and label c [N, label_dim]) -> image [N, channels, h, w] in [-1, 1].

    A linear layer makes `width` maps of a quarter of the size (8 x 8 x 512 for 32 px), which two
    transposed convolutions double twice.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        *,
        z_dim: int = 100,
        width: int = 512,
    ) -> None:
        super().__init__()
        self.resolution, self.channels = (resolution[0], resolution[1]), channels
        self.z_dim, self.label_dim = z_dim, label_dim
        self.start = (width, resolution[0] // 4, resolution[1] // 4)
        size = self.start[0] * self.start[1] * self.start[2]
        self.project = nn.Linear(z_dim + label_dim, size)
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(_up(width, width // 2), _up(width // 2, width // 4))
        self.out = nn.Sequential(nn.Conv2d(width // 4, channels, 3, padding=1), nn.Tanh())
        init_weights(self)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        if self.label_dim:
            assert c is not None
            z = torch.cat([z, c], dim=1)
        x = self.project(z).unflatten(1, self.start)
        return in_float32(self.out, self.body(self.norm(x)))


@self_describing
class DCGANDiscriminator(nn.Module):
    """image [N, channels, h, w] (and label c [N, label_dim]) -> logits [N].

    Batch norm in every layer but the first (paper, section 3): without it, D of this size falls
    back to guessing. A label enters as constant maps beside the picture's channels.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        *,
        width: int = 64,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.label_dim = label_dim
        widths = [channels + label_dim, width, 2 * width, 4 * width]
        layers = [_down(a, b, dropout, norm=i > 0) for i, (a, b) in enumerate(pairwise(widths))]
        self.body = nn.Sequential(*layers)
        h, w = (-(-side // 8) for side in resolution)
        self.out = nn.Linear(widths[-1] * h * w, 1)
        init_weights(self)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        if self.label_dim:
            assert c is not None
            maps = c[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, maps], dim=1)
        return in_float32(self.out, self.body(x).flatten(1)).squeeze(1)
