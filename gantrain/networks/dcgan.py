"""DCGAN's networks (Radford et al. 2016, arXiv 1511.06434); sides are multiples of 4."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gantrain.networks.labels import LabelScale, NumberLabels
from gantrain.networks.layers import in_float32, init_weights
from gantrain.networks.spec import self_describing


def _up_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """[N, in_channels, H, W] -> [N, out_channels, 2H, 2W]."""
    # No bias: batch norm has its own.
    conv = nn.ConvTranspose2d(
        in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


def _down_block(in_channels: int, out_channels: int, dropout: float, norm: bool) -> nn.Sequential:
    """[N, in_channels, H, W] -> [N, out_channels, ceil(H/2), ceil(W/2)]."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, bias=not norm)
    norms = [nn.BatchNorm2d(out_channels)] if norm else []
    return nn.Sequential(conv, *norms, nn.LeakyReLU(0.2), nn.Dropout(dropout))


@self_describing
class DCGANGenerator(nn.Module):
    """DCGAN's generator.

    A linear layer makes feature maps of a quarter of the image's size (512 maps of 8x8 for 32 px);
    two transposed convolutions each double the size and halve the number of channels.

    Args:
        resolution: [height, width] in pixels, multiples of 4.
        channels: channels of the image.
        label_dim: entries of a label; 0: unconditional.
        label_scale: see `NumberLabels`; None: labels are classes.
        z_dim: entries of the latent vector z.
        width: channels of the first feature maps.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        label_scale: LabelScale | None = None,
        *,
        z_dim: int = 100,
        width: int = 512,
    ) -> None:
        super().__init__()
        self.resolution, self.channels = (resolution[0], resolution[1]), channels
        self.z_dim, self.label_dim = z_dim, label_dim
        self.numbers = NumberLabels(label_scale, constant=False) if label_scale else nn.Identity()
        self.start = (width, resolution[0] // 4, resolution[1] // 4)  # doubled twice below
        size = self.start[0] * self.start[1] * self.start[2]
        self.project = nn.Linear(z_dim + label_dim, size)
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(_up_block(width, width // 2), _up_block(width // 2, width // 4))
        self.out = nn.Sequential(nn.Conv2d(width // 4, channels, 3, padding=1), nn.Tanh())
        # N(0, 0.02), as in the paper.
        init_weights(self)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Latents [N, z_dim], labels c [N, label_dim] -> images [N, channels, H, W] in [-1, 1]."""
        if self.label_dim:
            assert c is not None
            # The label is simply more latent: the first layer learns its embedding.
            z = torch.cat([z, self.numbers(c)], dim=1)
        x = self.project(z).unflatten(1, self.start)
        # The image is computed in float32: bfloat16 would show banding.
        return in_float32(self.out, self.body(self.norm(x)))


@self_describing
class DCGANDiscriminator(nn.Module):
    """DCGAN's discriminator: three stride-2 convolutions and a linear layer.

    Batch norm follows every convolution but the first (paper, section 3): without it, a D of this
    size falls back to guessing. A label enters as constant maps beside the image's channels.

    Args:
        resolution: [height, width] in pixels.
        channels: channels of the image.
        label_dim: entries of a label; 0: unconditional.
        label_scale: see `NumberLabels`; None: labels are classes.
        width: channels of the first layer, doubled by each of the next two.
        dropout: dropout probability in every layer.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        label_scale: LabelScale | None = None,
        *,
        width: int = 64,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.label_dim = label_dim
        self.numbers = NumberLabels(label_scale, constant=False) if label_scale else nn.Identity()
        widths = [channels + label_dim, width, 2 * width, 4 * width]
        blocks = [
            _down_block(a, b, dropout, norm=i > 0) for i, (a, b) in enumerate(pairwise(widths))
        ]
        self.body = nn.Sequential(*blocks)
        h, w = (-(-side // 8) for side in resolution)  # each block rounds up
        self.out = nn.Linear(widths[-1] * h * w, 1)
        init_weights(self)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Images [N, channels, H, W] in [-1, 1], labels c [N, label_dim] -> logits [N]."""
        if self.label_dim:
            assert c is not None
            maps = self.numbers(c)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, maps], dim=1)
        return in_float32(self.out, self.body(x).flatten(1)).squeeze(1)
