"""The synthesis of images from w (Karras et al. 2020, arXiv 1912.04958)."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gantrain.networks.layers import half_dtype, without_autocast
from gantrain.networks.sizes import BlockSize
from gantrain.networks.stylegan2.layers import (
    FILTER,
    RESIDUAL_GAIN,
    ConvLayer,
    NoiseMode,
    SynthesisLayer,
    ToRGB,
)
from gantrain.ops import fir
from gantrain.ops.precision import at_least_float32

GeneratorArchitecture = Literal["skip", "resnet", "orig"]


class SynthesisBlock(nn.Module):
    """One resolution: a learned constant or an upsampling layer, one more layer, maybe a `ToRGB`.

    Args:
        in_channels: channels of the block below; 0: the first block, which has the constant.
        size: resolution and channels of this block.
        w_dim: entries of w.
        image_channels: channels of the image.
        last: the highest resolution, which always has a `ToRGB`.
        architecture, conv_clamp: as in `StyleGAN2Generator`.
    """

    def __init__(
        self,
        in_channels: int,
        size: BlockSize,
        w_dim: int,
        image_channels: int,
        *,
        last: bool,
        architecture: GeneratorArchitecture,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        channels, pixels = size.channels, (size.height, size.width)
        self.may_be_half, self.architecture = size.half, architecture
        self.first = in_channels == 0
        if self.first:
            # The only input from below: all variation comes from w and the noise.
            self.const = nn.Parameter(torch.randn(channels, *pixels))
        else:
            self.conv0 = SynthesisLayer(
                in_channels, channels, w_dim, pixels, up=2, conv_clamp=conv_clamp
            )
        self.conv1 = SynthesisLayer(channels, channels, w_dim, pixels, conv_clamp=conv_clamp)
        self.last, self.makes_image = last, last or architecture == "skip"
        if self.makes_image:
            self.torgb = ToRGB(channels, image_channels, w_dim, conv_clamp)
        if architecture == "resnet" and not self.first:
            self.skip = ConvLayer(in_channels, channels, 1, bias=False, up=2)
        # How far the index of ws advances: the w of the `ToRGB` is not counted, see below.
        self.num_conv = 1 if self.first else 2

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Sequence[Tensor],
        noise_mode: NoiseMode,
        half: torch.dtype | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Turn the features and the image of the resolution below into those of this one.

        Args:
            x: [N, in_channels, H/2, W/2]; None for the first block.
            image: [N, image_channels, H/2, W/2] in full precision, or None.
            ws: one [N, w_dim] for each layer, the `ToRGB` last.
            noise_mode: see `SynthesisNetwork.forward`.
            half: dtype of the blocks that may run in half precision; None: full precision.

        Returns:
            Features [N, channels, H, W] and, if there is one so far, the image
            [N, image_channels, H, W] in full precision.
        """
        w = iter(ws)  # in the order of the layers
        full = ws[0].dtype
        # Each block converts its input: the block below may run in another precision.
        dtype = half if half is not None and self.may_be_half else full
        if self.first:
            n = ws[0].shape[0]  # torch.export takes a len() for a constant
            start = self.const.to(dtype).expand(n, -1, -1, -1)
            features: Tensor = self.conv1(start, next(w), noise_mode)
        else:
            assert x is not None
            features = self._double(x.to(dtype), w, noise_mode)
        if image is not None:  # the sum of the `ToRGB`s below
            # In full precision at all resolutions, or every addition would round it.
            image = fir.upsample2d(image, FILTER)
        if self.makes_image:
            # The last `ToRGB` runs in full precision: an image computed in bfloat16 shows banding.
            rgb = self.torgb(features.to(full) if self.last else features, next(w)).to(full)
            image = rgb if image is None else image + rgb
        return features, image

    def _double(self, x: Tensor, w: Iterator[Tensor], noise_mode: NoiseMode) -> Tensor:
        if self.architecture != "resnet":
            return self.conv1(self.conv0(x, next(w), noise_mode), next(w), noise_mode)
        shortcut = self.skip(x, RESIDUAL_GAIN)  # with conv1's gain, the sum keeps the variance
        x = self.conv0(x, next(w), noise_mode)
        return shortcut + self.conv1(x, next(w), noise_mode, RESIDUAL_GAIN)


class SynthesisNetwork(nn.Module):
    """Synthesis network from ws to images, from a learned constant up to the full resolution.

    Every convolution has its own w. The `ToRGB` of a block shares the w of the next block's first
    convolution; the last one has its own: num_ws = 2 * number of blocks.

    Args:
        sizes: the blocks, from the base up.
        w_dim: entries of w.
        image_channels: channels of the image.
        architecture, conv_clamp: as in `StyleGAN2Generator`.
    """

    def __init__(
        self,
        sizes: list[BlockSize],
        w_dim: int,
        image_channels: int,
        *,
        architecture: GeneratorArchitecture = "skip",
        conv_clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        self.names = [size.name for size in sizes]
        below = 0
        for size in sizes:
            block = SynthesisBlock(
                below,
                size,
                w_dim,
                image_channels,
                last=size is sizes[-1],
                architecture=architecture,
                conv_clamp=conv_clamp,
            )
            self.add_module(size.name, block)
            below = size.channels
        self.num_ws = 2 * len(sizes)

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "random") -> Tensor:
        """Synthesize images.

        Args:
            ws: [N, num_ws, w_dim].
            noise_mode: "random" draws new noise, "const" uses the stored noise, "none" uses none.

        Returns:
            [N, image_channels, H, W], about [-1, 1] but not bounded, in float32 or wider.
        """
        half = half_dtype(ws)
        x = image = None
        index = 0
        with without_autocast(ws):
            # The gradient of one unbind is one stack; indexing would add up a full-size tensor per
            # layer.
            all_ws = at_least_float32(ws).unbind(dim=1)
            for name in self.names:
                block: SynthesisBlock = getattr(self, name)
                block_ws = all_ws[index : index + block.num_conv + 1]
                x, image = block(x, image, block_ws, noise_mode, half)
                index += block.num_conv  # the `ToRGB` shares its w with the next block
        assert image is not None
        return image

    def modulation_weights(self) -> dict[int, Tensor]:
        """Return the affine weights [C, w_dim] that turn each w into its convolution's styles.

        By index in ws. The last w is that of a `ToRGB` alone and has none.
        """
        blocks = [self.get_submodule(name) for name in self.names]
        layers = [
            getattr(block, conv)
            for block in blocks
            for conv in ("conv0", "conv1")
            if hasattr(block, conv)
        ]
        return {i: layer.affine.weight * layer.affine.scale for i, layer in enumerate(layers)}
