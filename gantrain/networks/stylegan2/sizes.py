"""Which blocks a network for pictures of a given size has."""

from collections.abc import Sequence
from typing import NamedTuple

from gantrain.errors import ConfigError

_SMALLEST_BASE, _LARGEST_BASE = 4, 16


class BlockSize(NamedTuple):
    """One resolution of the pyramid.

    nominal: 4, 8, 16, ...: names the block ("b8") and sets its width, whatever the true size is.
    height, width: in pixels.
    channels: of the features at this resolution.
    half: runs in half precision when the caller asks for autocast.
    """

    nominal: int
    height: int
    width: int
    channels: int
    half: bool

    @property
    def name(self) -> str:
        return f"b{self.nominal}"


def block_sizes(
    resolution: Sequence[int], channel_base: int, channel_max: int, half_resolutions: int
) -> list[BlockSize]:
    """From the base (nominal 4) up to `resolution` = (height, width) in pixels.

    Both sides are halved while both are even and the smaller one stays at least 4: 64x64 is 4x4
    doubled 4 times, 48x64 is 6x8 doubled 3 times, 28x28 is 7x7 doubled twice.

    Args:
        channel_base, channel_max: channels = min(channel_base // nominal, channel_max).
        half_resolutions: how many of the highest resolutions (from nominal 8 on) may run half.

    Raises:
        ConfigError: the sides have too few factors 2, with the nearest sizes that work.
    """
    height, width = resolution
    doublings = _doublings(height, width)
    if not _fits(height, width):
        good = " or ".join(f"{h}x{w}" for h, w in _nearest(height, width))
        raise ConfigError(
            f"A resolution of {height}x{width} cannot be built by doubling: both sides must be "
            f"{_SMALLEST_BASE} to {_LARGEST_BASE} times the same power of 2 (at least 2); "
            f"use {good}."
        )
    lowest_half = max(2 ** (doublings + 3 - half_resolutions), 8)
    sizes = []
    for i in range(doublings + 1):
        nominal, shrink = 4 * 2**i, 2 ** (doublings - i)
        half = half_resolutions > 0 and nominal >= lowest_half
        channels = max(min(channel_base // nominal, channel_max), 1)
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
    return doublings >= 1 and base <= _LARGEST_BASE


def _nearest(height: int, width: int) -> list[tuple[int, int]]:
    """The best size not smaller and the best one not larger than wanted, where there are such."""
    found = []
    for direction in (-1, 1):
        sides = [
            (_side(height, 2**k, direction), _side(width, 2**k, direction)) for k in range(1, 12)
        ]
        good = [side for side in sides if _fits(*side)]
        if good:
            found.append(min(good, key=lambda side: abs(side[0] - height) + abs(side[1] - width)))
    return found or [(64, 64)]


def _side(wanted: int, factor: int, direction: int) -> int:
    """The nearest multiple of `factor` below (-1) or above (1) that a base allows."""
    if direction < 0:
        return min(wanted // factor, _LARGEST_BASE) * factor
    return max(-(-wanted // factor), _SMALLEST_BASE) * factor
