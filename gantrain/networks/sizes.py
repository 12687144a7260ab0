"""The blocks of a network for images of a given resolution."""

from collections.abc import Sequence
from typing import NamedTuple

from gantrain.errors import ConfigError

_SMALLEST_BASE, _LARGEST_BASE = 4, 16  # sides of the first block in pixels


class BlockSize(NamedTuple):
    """One resolution of the pyramid.

    Args:
        nominal: 4, 8, 16, ...: names the block ("b8") and sets its channels, whatever its true
            size.
        height, width: true size in pixels.
        channels: channels of the features at this resolution.
        half: whether the block runs in half precision under autocast.
    """

    nominal: int
    height: int
    width: int
    channels: int
    half: bool

    @property
    def name(self) -> str:
        """Name of the block in the state dict, such as "b8"."""
        return f"b{self.nominal}"


def block_sizes(
    resolution: Sequence[int], channel_base: int, channel_max: int, half_resolutions: int
) -> list[BlockSize]:
    """Return the blocks from the base (nominal 4) up to the full resolution.

    Both sides are halved while both are even and the smaller one stays at least 4: 64x64 is 4x4
    doubled 4 times, 48x64 is 6x8 doubled 3 times, 28x28 is 7x7 doubled twice.

    Args:
        resolution: (height, width) in pixels.
        channel_base: a block has min(channel_base // nominal, channel_max) channels.
        channel_max: see `channel_base`.
        half_resolutions: number of the highest resolutions (from nominal 8 on) that may run in half
            precision.

    Raises:
        ConfigError: the sides have too few factors of 2; names the nearest sizes that work.
    """
    stages = _doublings(resolution[0], resolution[1]) + 1
    # By the nominal side: a base of 6x8 is as wide as one of 4x4.
    widths = [max(min(channel_base // (4 * 2**i), channel_max), 1) for i in range(stages)]
    return pyramid(resolution, widths, half_resolutions)


def pyramid(
    resolution: Sequence[int], widths: Sequence[int], half_resolutions: int
) -> list[BlockSize]:
    """Return the blocks of `block_sizes` with channels of their own.

    Args:
        resolution: (height, width) in pixels.
        widths: channels of each block, from the base up.
        half_resolutions: see `block_sizes`.

    Raises:
        ConfigError: no network exists for the resolution, or it has another number of blocks.
    """
    height, width = resolution
    doublings = _doublings(height, width)
    if not _fits(height, width):
        nearest = " or ".join(f"{h}x{w}" for h, w in _nearest(height, width))
        raise ConfigError(
            f"A resolution of {height}x{width} cannot be built by doubling: both sides must be "
            f"{_SMALLEST_BASE} to {_LARGEST_BASE} times the same power of 2 (at least 2); "
            f"use {nearest}."
        )
    if len(widths) != doublings + 1:
        raise ConfigError(
            f"A resolution of {height}x{width} has {doublings + 1} stages, but widths are given "
            f"for {len(widths)}."
        )
    # The base (nominal 4) never runs in half precision, nor do the statistics of the batch there.
    lowest_half = max(2 ** (doublings + 3 - half_resolutions), 8)
    sizes = []
    for i, channels in enumerate(widths):
        nominal, shrink = 4 * 2**i, 2 ** (doublings - i)
        half = half_resolutions > 0 and nominal >= lowest_half
        sizes.append(BlockSize(nominal, height // shrink, width // shrink, channels, half))
    return sizes


def _doublings(height: int, width: int) -> int:
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * _SMALLEST_BASE:
        height, width, count = height // 2, width // 2, count + 1
    return count


def _fits(height: int, width: int) -> bool:
    doublings = _doublings(height, width)
    base = max(height, width) >> doublings
    # At least one doubling: a network of the base alone would have no blocks.
    return doublings >= 1 and base <= _LARGEST_BASE


def _nearest(height: int, width: int) -> list[tuple[int, int]]:
    """Return the nearest possible sizes below and above, as far as they exist."""
    nearest = []
    for direction in (-1, 1):
        sizes = [
            (_side(height, 2**k, direction), _side(width, 2**k, direction)) for k in range(1, 12)
        ]
        # One candidate for each power of 2; the smallest change of the two sides in total wins.
        possible = [size for size in sizes if _fits(*size)]
        if possible:
            nearest.append(min(possible, key=lambda s: abs(s[0] - height) + abs(s[1] - width)))
    return nearest or [(64, 64)]


def _side(side: int, factor: int, direction: int) -> int:
    """Return the nearest multiple of `factor` below (-1) or above (1) that a base allows."""
    if direction < 0:
        return min(side // factor, _LARGEST_BASE) * factor
    return max(-(-side // factor), _SMALLEST_BASE) * factor
