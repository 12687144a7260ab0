"""The downsampling blocks and the epilogue that the discriminator and the encoder share."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from gantrain.networks.sizes import BlockSize
from gantrain.networks.stylegan2.layers import (
    FILTER,
    RESIDUAL_GAIN,
    ConvLayer,
    FullyConnected,
)
from gantrain.ops import fir

DiscriminatorArchitecture = Literal["resnet", "skip", "orig"]


class DownBlock(nn.Module):
    """One resolution: two convolutions, the second downsamples by 2.

    Args:
        size: resolution of this block, and the channels of its input.
        out_channels: channels of the next lower resolution.
        image_channels: channels of the image, which the first block reads (with "skip" all do).
        first: the highest resolution.
        architecture, conv_clamp: as in `StyleGAN2Discriminator`.
    """

    def __init__(
        self,
        size: BlockSize,
        out_channels: int,
        image_channels: int,
        *,
        first: bool,
        architecture: DiscriminatorArchitecture,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        channels = size.channels
        self.may_be_half, self.architecture = size.half, architecture
        self.reads_image = first or architecture == "skip"
        if self.reads_image:
            self.fromrgb = ConvLayer(image_channels, channels, 1, "lrelu", conv_clamp=conv_clamp)
        self.conv0 = ConvLayer(channels, channels, 3, "lrelu", conv_clamp=conv_clamp)
        self.conv1 = ConvLayer(channels, out_channels, 3, "lrelu", down=2, conv_clamp=conv_clamp)
        if architecture == "resnet":
            self.skip = ConvLayer(channels, out_channels, 1, bias=False, down=2)

    def forward(
        self, x: Tensor | None, image: Tensor, half: torch.dtype | None
    ) -> tuple[Tensor, Tensor]:
        """Return the features at half the size, and the image for the next block.

        Args:
            x: features [N, C, H, W]; None for the first block.
            image: [N, image_channels, H, W] in full precision.
            half: dtype of the blocks that may run in half precision; None: full precision.

        Returns:
            Features [N, out_channels, H/2, W/2] and the image, downsampled only for "skip".
        """
        # Each block converts its input: its neighbour may run in another precision.
        dtype = half if half is not None and self.may_be_half else image.dtype
        x = None if x is None else x.to(dtype)
        if self.reads_image:
            from_image = self.fromrgb(image.to(dtype))
            x = from_image if x is None else x + from_image
        assert x is not None
        if self.architecture == "resnet":
            # Each branch has the gain sqrt(1/2), so that the sum keeps the variance.
            shortcut = self.skip(x, RESIDUAL_GAIN)
            return shortcut + self.conv1(self.conv0(x), RESIDUAL_GAIN), image
        if self.architecture == "skip":
            image = fir.downsample2d(image, FILTER)
        return self.conv1(self.conv0(x)), image


def down_blocks(
    sizes: list[BlockSize],
    image_channels: int,
    architecture: DiscriminatorArchitecture,
    conv_clamp: float | None,
) -> dict[str, DownBlock]:
    """Return the blocks by name, from the highest resolution to the one above the base.

    Args:
        sizes: the blocks, from the base up.
        image_channels: channels of the image.
        architecture: see `DownBlock`.
        conv_clamp: see `ConvLayer`.
    """
    blocks = {}
    # Pairs of neighbours from the top; the base itself is the `Epilogue`.
    for size, below in zip(sizes[:0:-1], sizes[-2::-1], strict=True):
        blocks[size.name] = DownBlock(
            size,
            below.channels,
            image_channels,
            first=size is sizes[-1],
            architecture=architecture,
            conv_clamp=conv_clamp,
        )
    return blocks


def run_blocks(
    blocks: Iterable[DownBlock], image: Tensor, half: torch.dtype | None
) -> tuple[Tensor, Tensor]:
    """Run the blocks on images, from the highest resolution down; the caller has left autocast.

    Args:
        blocks: from the highest resolution down.
        image: [N, C, H, W] in full precision.
        half: dtype of the blocks that may run in half precision; None: full precision.

    Returns:
        The features at the base and the image as the last block returns it, in the image's dtype.
    """
    x = None
    for block in blocks:
        x, image = block(x, image, half)
    assert x is not None
    # The base runs in full precision: it takes statistics of the batch.
    return x.to(image.dtype), image


class Epilogue(nn.Module):
    """The base resolution: minibatch stddev, a convolution, two fully connected layers.

    Args:
        size: resolution and channels of the base.
        out_features: outputs of the last, linear layer.
        image_channels: channels of the image it reads; 0: it reads none.
        mbstd_group, mbstd_channels: see `minibatch_stddev`; 0 channels leave it out.
    """

    def __init__(
        self,
        size: BlockSize,
        out_features: int,
        *,
        image_channels: int = 0,
        mbstd_group: int = 4,
        mbstd_channels: int = 1,
    ) -> None:
        super().__init__()
        channels = size.channels
        self.reads_image = image_channels > 0
        self.mbstd_group, self.mbstd_channels = mbstd_group, mbstd_channels
        if self.reads_image:
            self.fromrgb = ConvLayer(image_channels, channels, 1, "lrelu")
        self.conv = ConvLayer(channels + mbstd_channels, channels, 3, "lrelu")
        # Reads every position, which is why the network is tied to one resolution.
        self.fc = FullyConnected(channels * size.height * size.width, channels, "lrelu")
        self.out = FullyConnected(channels, out_features)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Features [N, channels, h, w], image [N, image_channels, h, w] -> [N, out_features].

        Args:
            x: in full precision.
            image: at the size of the base; read with architecture="skip" only.
        """
        if self.reads_image:
            x = x + self.fromrgb(image)
        if self.mbstd_channels:  # lets D see how varied the batch is, against mode collapse
            x = minibatch_stddev(x, self.mbstd_group, self.mbstd_channels)
        return self.out(self.fc(self.conv(x).flatten(1)))


def minibatch_stddev(x: Tensor, group: int, channels: int = 1) -> Tensor:
    """Append the standard deviation within groups of samples (Karras et al. 2018, section 3).

    Args:
        x: [N, C, H, W].
        group: samples per group; the largest divisor of N below it if N is no multiple of it.
            Sample j belongs to group j mod (N / group).
        channels: number of appended maps, each the mean over C / channels features.

    Returns:
        [N, C + channels, H, W]; the appended maps are constant over H and W.
    """
    n, c, h, w = x.shape
    group = max(size for size in range(1, min(group, n) + 1) if n % size == 0)
    # Strided groups: sample j is in row j // (N / group) of group j mod (N / group).
    y = x.reshape(group, n // group, channels, c // channels, h, w)
    # Not torch.var: its second derivative is less accurate.
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    # 1e-8: the derivative of the root is infinite at 0, where all samples are equal.
    y = (y + 1e-8).sqrt().mean(dim=(2, 3, 4))
    # Repeated in the same stride, so that each sample gets the value of its own group.
    y = y[:, :, None, None].repeat(group, 1, h, w)
    return torch.cat([x, y], dim=1)
