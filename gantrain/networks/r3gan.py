"""R3GAN's networks: residual networks without norms (Huang et al. 2024, arXiv 2501.05441)."""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd, prod, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.networks.labels import LabelScale, NumberLabels, require_labels
from gantrain.networks.layers import half_dtype, without_autocast
from gantrain.networks.sizes import BlockSize, pyramid
from gantrain.networks.spec import self_describing
from gantrain.ops.bias_act import SLOPE, bias_act
from gantrain.ops.fir import downsample2d, fir_taps, upsample2d
from gantrain.ops.precision import at_least_float32

EXPANSION = 2  # inner channels of a block, in multiples of its own
_TAPS = fir_taps([1, 3, 3, 1])

# Parts of the reference's parameter names, and those here.
_REFERENCE_NAMES = {
    "Model.MainLayers": "stages",
    "Model.ExtractionLayer.Layer": "from_image",
    "Model.AggregationLayer.Layer": "to_image",
    "Model.EmbeddingLayer": "embed.linear",
    **{f"LinearLayer{i}.Layer": f"conv{i}" for i in (1, 2, 3)},
    **{f"NonLinearity{i}.Bias": f"bias{i}" for i in (1, 2)},
    "LinearLayer.Layer": "conv",
    "LinearLayer": "linear",
    "Basis.weight": "basis",
    "Basis": "basis",
    ".Layers.": ".",
}


def from_reference_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of the reference under the parameter names of the networks here.

    Args:
        weights: of a generator or a discriminator. Its FIR kernels are left out: they are constants
            here. Other names stay as they are.
    """
    renamed = {}
    for name, tensor in weights.items():
        if name.endswith("Resampler.Kernel"):
            continue
        for theirs, ours in _REFERENCE_NAMES.items():
            name = name.replace(theirs, ours)
        renamed[name] = tensor
    return renamed


class Conv(nn.Conv2d):
    """A convolution without bias, in the dtype of its input.

    Args:
        in_channels, out_channels: of the maps.
        kernel: its side in pixels, odd; zeros are padded so that the size stays.
        groups: the channels are split into so many independent groups.
        gain: the initial weights are N(0, gain^2 / fan_in).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, groups: int = 1, gain: float = 1
    ) -> None:
        padding = kernel // 2
        super().__init__(
            in_channels, out_channels, kernel, padding=padding, groups=groups, bias=False
        )
        nn.init.normal_(self.weight, std=gain / sqrt(prod(self.weight.shape[1:])))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]."""
        return F.conv2d(x, self.weight.to(x.dtype), padding=self.padding, groups=self.groups)


class Linear(nn.Linear):
    """A linear layer without bias; the initial weights are N(0, gain^2 / in_features)."""

    def __init__(self, in_features: int, out_features: int, gain: float = 1) -> None:
        super().__init__(in_features, out_features, bias=False)
        nn.init.normal_(self.weight, std=gain / sqrt(in_features))


class Block(nn.Module):
    """x + W3 a(W2 a(W1 x)),  a(u) = lrelu(u + b): an inverted bottleneck (section 4).

    W1 and W3 are 1x1, W2 is 3x3 and grouped. W3 is 0 at first, so that the block is the identity.

    Args:
        channels: of input and output; EXPANSION times as many inside.
        group_width: channels of each group of W2.
        gain: of the initial W1 and W2.
    """

    def __init__(self, channels: int, group_width: int, gain: float) -> None:
        super().__init__()
        inner = EXPANSION * channels
        group_width = min(group_width, inner)
        if inner % group_width:
            multiple = group_width // gcd(group_width, EXPANSION)
            raise ConfigError(
                f"A width of {channels} channels is {inner} inside of R3GAN's blocks, which groups "
                f"of model.group_width={group_width} do not divide: use widths (model.channel_base "
                f"and channel_max) that are multiples of {multiple}, or another model.group_width."
            )
        self.conv1 = Conv(channels, inner, gain=gain)
        self.bias1 = nn.Parameter(torch.zeros(inner))
        self.conv2 = Conv(inner, inner, kernel=3, groups=inner // group_width, gain=gain)
        self.bias2 = nn.Parameter(torch.zeros(inner))
        self.conv3 = Conv(inner, channels, gain=0)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> the same shape and dtype."""
        y = bias_act(self.conv1(x), self.bias1.to(x.dtype))
        y = bias_act(self.conv2(y), self.bias2.to(x.dtype))
        return x + self.conv3(y)


class Up(nn.Module):
    """Twice the size: a 1x1 convolution if the number of channels changes, then interpolation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        same = in_channels == out_channels
        self.conv = nn.Identity() if same else Conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, 2H, 2W]."""
        return upsample2d(self.conv(x), _TAPS)


class Down(nn.Module):
    """Half the size: a low-pass, then a 1x1 convolution if the number of channels changes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        same = in_channels == out_channels
        self.conv = nn.Identity() if same else Conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H/2, W/2]."""
        return self.conv(downsample2d(x, _TAPS))


class Start(nn.Module):
    """A learned map of every channel, times a linear function of the latent."""

    def __init__(self, in_features: int, size: BlockSize) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(size.channels, size.height, size.width))
        self.linear = Linear(in_features, size.channels)

    def forward(self, z: Tensor) -> Tensor:
        """[N, in_features] -> [N, C, h, w]."""
        return self.basis * self.linear(z)[:, :, None, None]


class Head(nn.Module):
    """A learned map of every channel, multiplied with its features and summed; then linear."""

    def __init__(self, size: BlockSize, out_features: int) -> None:
        super().__init__()
        shape = (size.channels, 1, size.height, size.width)  # a depthwise convolution, in names
        self.basis = nn.Parameter(torch.randn(shape) / sqrt(size.height * size.width))
        self.linear = Linear(size.channels, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, out_features]."""
        return self.linear((x * self.basis[:, 0]).sum((2, 3)))


class LabelEmbedding(nn.Module):
    """A linear embedding of labels; a constant 1 stands beside labels that are numbers."""

    def __init__(
        self, label_dim: int, dim: int, label_scale: LabelScale | None, gain: float = 1
    ) -> None:
        super().__init__()
        self.label_dim = label_dim
        # Without the constant the mean label would be 0, and every image of it alike.
        self.numbers = NumberLabels(label_scale, constant=True) if label_scale else nn.Identity()
        self.linear = Linear(label_dim + bool(label_scale), dim, gain)

    def forward(self, c: Tensor | None, like: Tensor) -> Tensor:
        """Labels [N, label_dim] -> [N, dim] in the dtype of `like`."""
        return self.linear(self.numbers(require_labels(c, self.label_dim, like)))


def block_gain(blocks: int) -> float:
    """Return the gain of initial weights in a network of so many blocks.

    He's gain for a leaky ReLU, times L^(-1 / (2m - 2)) for m = 3 layers in each of L blocks (Fixup,
    Zhang et al. 2019, arXiv 1901.09321).
    """
    return sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25


def _run(
    stages: nn.ModuleList, halves: Sequence[bool], x: Tensor, half: torch.dtype | None
) -> Tensor:
    """Run stages outside autocast, each in its own dtype."""
    for stage, is_half in zip(stages, halves, strict=True):
        x = stage(x.to(half) if half and is_half else at_least_float32(x))
    return x


@self_describing
class R3GANGenerator(nn.Module):
    """R3GAN's generator: from a learned base to the image by blocks and interpolation.

    Args:
        resolution: [height, width] in pixels; see `block_sizes` for the possible ones.
        channels: channels of the image.
        label_dim: entries of a label; 0: unconditional.
        label_scale: [means, deviations] of labels that are numbers; None: labels are classes.
        z_dim: entries of the latent z, and of the embedding of a label.
        widths: channels of each stage, from the base up; each stage doubles the size.
        blocks: residual blocks of each stage, in this order.
        group_width: channels of a group of the 3x3 convolutions.
        half_resolutions: number of the highest resolutions that follow autocast; the others, the
            base and the last convolution stay in float32.

    Raises:
        ConfigError: no network exists for the resolution or the widths.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        label_scale: LabelScale | None = None,
        *,
        z_dim: int = 64,
        widths: list[int],
        blocks: list[int],
        group_width: int = 16,
        half_resolutions: int = 4,
    ) -> None:
        super().__init__()
        sizes = pyramid(resolution, widths, half_resolutions)
        self.resolution, self.channels = (sizes[-1].height, sizes[-1].width), channels
        self.label_dim, self.z_dim = label_dim, z_dim
        self.halves = [size.half for size in sizes]
        if label_dim:
            self.embed = LabelEmbedding(label_dim, z_dim, label_scale)
        starts: list[nn.Module] = [Start(2 * z_dim if label_dim else z_dim, sizes[0])]
        starts += [Up(a, b) for a, b in pairwise(widths)]
        gain = block_gain(sum(blocks))
        self.stages = nn.ModuleList(
            nn.Sequential(start, *(Block(width, group_width, gain) for _ in range(count)))
            for start, width, count in zip(starts, widths, blocks, strict=True)
        )
        self.to_image = Conv(widths[-1], channels)

    from_reference = staticmethod(from_reference_names)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the images of latents.

        Args:
            z: [N, z_dim], standard normal.
            c: labels [N, label_dim]; None if the network is unconditional.

        Returns:
            [N, channels, H, W] about [-1, 1] but not bounded, in float32 or wider.

        Raises:
            ValueError: the network is conditional and `c` is missing or has another width.
        """
        half = half_dtype(z)
        with without_autocast(z):
            z = at_least_float32(z)
            x = torch.cat([z, self.embed(c, z)], dim=1) if self.label_dim else z
            return self.to_image(at_least_float32(_run(self.stages, self.halves, x, half)))


@self_describing
class R3GANDiscriminator(nn.Module):
    """R3GAN's discriminator, the mirror image of the generator.

    With labels the logit is the product of the features and the label's embedding (Miyato and
    Koyama 2018, arXiv 1802.05637). No operation mixes the images of a batch.

    Args:
        resolution, channels, label_dim, label_scale, widths, blocks, group_width,
            half_resolutions: as in `R3GANGenerator`; widths and blocks from the base up.

    Raises:
        ConfigError: no network exists for the resolution or the widths.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        label_scale: LabelScale | None = None,
        *,
        widths: list[int],
        blocks: list[int],
        group_width: int = 16,
        half_resolutions: int = 4,
    ) -> None:
        super().__init__()
        sizes = pyramid(resolution, widths, half_resolutions)
        self.resolution, self.channels = (sizes[-1].height, sizes[-1].width), channels
        self.label_dim, features = label_dim, widths[0]
        self.halves = [size.half for size in sizes][::-1]  # from the image on
        self.from_image = Conv(channels, widths[-1])
        ends: list[nn.Module] = [Head(sizes[0], features if label_dim else 1)]
        ends += [Down(b, a) for a, b in pairwise(widths)]
        gain = block_gain(sum(blocks))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, group_width, gain) for _ in range(count)), end)
            for end, width, count in reversed(list(zip(ends, widths, blocks, strict=True)))
        )
        if label_dim:
            self.embed = LabelEmbedding(label_dim, features, label_scale, 1 / sqrt(features))

    from_reference = staticmethod(from_reference_names)

    def forward(self, image: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the logits of images.

        Args:
            image: [N, channels, H, W] about [-1, 1].
            c: labels [N, label_dim]; None if the network is unconditional.

        Returns:
            [N], in float32 or wider. Only differences of logits mean something.

        Raises:
            ValueError: the network is conditional and `c` is missing or has another width.
        """
        half = half_dtype(image)
        with without_autocast(image):
            x = at_least_float32(image)
            # The first convolution belongs to the first stage, and runs in its dtype.
            x = self.from_image(x.to(half) if half and self.halves[0] else x)
            x = _run(self.stages, self.halves, x, half)
            return (x * self.embed(c, x)).sum(dim=1) if self.label_dim else x[:, 0]
