"""Frequencies, sizes and channels of StyleGAN3's layers (Karras et al. 2021, section 3.2)."""

from collections.abc import Sequence
from math import ceil, log2
from typing import NamedTuple

from gantrain.errors import ConfigError

SMALLEST = 16  # pixels: the sampling rate of the first layers
MARGIN = 10  # samples beyond each side of the image, for all but the last two layers
CRITICAL = 2  # last layers whose filters cut off at half the sampling rate
FIRST_CUTOFF, FIRST_STOPBAND = 2.0, 2**2.1
LAST_STOPBAND = 2**0.3  # in units of the last cutoff


class Signal(NamedTuple):
    """The output of a layer, or of the Fourier features.

    Frequencies are in periods per image.

    Args:
        cutoff: f_c of the filter behind it.
        half_width: f_h, half the width of that filter's transition band.
        rate: samples per image side.
        size: samples per side, with the margins.
        channels: number of features.
        critical: whether the cutoff is half the rate, at the cost of some aliasing.
    """

    cutoff: float
    half_width: float
    rate: int
    size: int
    channels: int
    critical: bool


def signals(
    resolution: Sequence[int], layers: int, channel_base: int, channel_max: int, channels: int
) -> list[Signal]:
    """Return the outputs of all layers, the last one that of the `ToRGB`.

    Cutoff and stopband rise geometrically to layer N - 2; the last two layers keep them.

    Args:
        resolution: [height, width] in pixels.
        layers: N, the number of layers without the `ToRGB`.
        channel_base: a layer has channel_base / (2 f_c) channels, ...
        channel_max: ... and no more than this.
        channels: of the image.

    Raises:
        ConfigError: the image is not a square, or its side no power of 2 from 16 on.
    """
    side = _side(resolution)
    last_cutoff = side / 2
    last_stopband = last_cutoff * LAST_STOPBAND
    planned = []
    for i in range(layers + 1):
        exponent = min(i / (layers - CRITICAL), 1)
        cutoff = FIRST_CUTOFF * (last_cutoff / FIRST_CUTOFF) ** exponent
        stopband = FIRST_STOPBAND * (last_stopband / FIRST_STOPBAND) ** exponent
        rate = 2 ** ceil(log2(min(2 * stopband, side)))
        size = side if i >= layers - 1 else rate + 2 * MARGIN
        width = channels if i == layers else round(min(channel_base / 2 / cutoff, channel_max))
        half_width = max(stopband, rate / 2) - cutoff
        critical = i >= layers - CRITICAL
        planned.append(Signal(cutoff, half_width, rate, size, max(width, 1), critical))
    return planned


def _side(resolution: Sequence[int]) -> int:
    height, width = resolution
    if height == width >= SMALLEST and height & (height - 1) == 0:
        return height
    nearest = 2 ** max(round(log2(max(height, width))), 4)
    raise ConfigError(
        f"StyleGAN3 cannot make images of {height}x{width}: they must be squares, with a power of "
        f"2 from {SMALLEST} on as their side; use data.resolution={nearest}, or model=stylegan."
    )
