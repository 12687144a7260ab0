"""Images as arrays [H, W, C]: bands, bit depth, range of values, and size.

uint8 and uint16 hold levels up to 255 and 65535, or numbers in a range; other integers and float32
hold numbers. Bands are colours (grey, RGB) or have no known meaning; the last one may be alpha.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import numpy as np
from PIL import Image

from gantrain.errors import ConfigError, counted
from gantrain.types import Range

Depth = Literal[8, 16, "float"]
Channels = Annotated[int, Range(1, 1024)]
_DTYPES: dict[Depth, np.dtype] = {
    8: np.dtype(np.uint8),
    16: np.dtype(np.uint16),
    "float": np.dtype(np.float32),
}
_LEVELS = (np.dtype(np.uint8), np.dtype(np.uint16))
_LUMA = np.array([19595, 38470, 7471])  # ITU-R BT.601 in 65536ths, as in Pillow


class ImageFault(Exception):
    """A file that cannot be used; the message is a phrase that follows the file's name."""


class Picture(NamedTuple):
    """An image as its file holds it.

    Attributes:
        pixels: [H, W, C], integers of up to 32 bits or float32.
        note: see `gantrain.data.decode.decode`.
        colors: whether the bands other than alpha are grey or RGB; else their meaning is unknown.
        alpha: whether the last band is alpha, because the file says so.
    """

    pixels: np.ndarray
    note: str = ""
    colors: bool = True
    alpha: bool = False


@dataclass(frozen=True)
class PixelFormat:
    """The pixel format of a data set, to which the values of its files are converted.

    Without a range of its own, an image of 8 or 16 bits holds levels, of which 0 and the highest
    become -1 and 1. With one, integers and floats alike are numbers, of which `low` and `high`
    become -1 and 1, and are kept as floats.

    Args:
        depth: bits per channel, or "float".
        low, high: of numbers, the values that become -1 and 1.
        ranged: whether the integers of 8 or 16 bits are numbers in this range, not levels.
        clip: whether numbers outside of it are clipped to it; else they are refused.
        fix: what to do about values outside of it.
    """

    depth: Depth = 8
    low: float = 0.0
    high: float = 1.0
    ranged: bool = False
    clip: bool = False
    fix: str = field(
        default="widen the range, clip them to it with data.clip=true, or fix the image",
        compare=False,
    )

    @property
    def holds_numbers(self) -> bool:
        """Whether images are floats while they are resized, cached and cropped."""
        return self.ranged or self.depth == "float"

    @property
    def dtype(self) -> np.dtype:
        """Dtype of images while they are resized, cached and cropped."""
        return _DTYPES["float" if self.holds_numbers else self.depth]

    def convert(self, x: np.ndarray) -> np.ndarray:
        """Convert a decoded image [H, W, C] to this format without loss, but for clipping.

        Raises:
            ImageFault: this is impossible.
        """
        if self.holds_numbers:
            return self._to_numbers(x)
        if x.dtype == np.float32:
            raise ImageFault(
                "holds floats: set data.depth=float and data.value_range=[lowest,highest], or save "
                "it with 8 or 16 bits"
            )
        if x.dtype not in _LEVELS:
            raise ImageFault(
                f"holds {x.dtype} values: save it with unsigned 8 or 16 bits, or as floats; or, if "
                "they are numbers, say which ones become black and white with "
                f"data.value_range=[lowest,highest]{'' if self.depth == 16 else ' data.depth=16'}"
            )
        if x.dtype == np.uint16 and self.depth == 8:
            raise ImageFault(
                "has 16 bits per channel: set data.depth=16, or save it as an 8-bit image"
            )
        return x if x.dtype == self.dtype else x.astype(np.uint16) * 257

    def outside(self, x: np.ndarray) -> int:
        """Return how many values of a decoded image `convert` clips."""
        if not self.clip or not self.holds_numbers or (x.dtype in _LEVELS and not self.ranged):
            return 0
        return int(np.count_nonzero((x < self.low) | (x > self.high)))

    def _to_numbers(self, x: np.ndarray) -> np.ndarray:
        limits = f"data.value_range=[{self.low:g},{self.high:g}]"
        if x.dtype in _LEVELS and not self.ranged:
            if (self.low, self.high) != (0.0, 1.0):
                raise ImageFault(
                    f"holds integers, which value_range=[{self.low:g},{self.high:g}] does not "
                    "apply to: save it as floats, or set data.depth=16 if they are numbers in this "
                    "range"
                )
            return x.astype(np.float32) / np.iinfo(x.dtype).max
        if x.dtype == np.uint8 and self.depth != 8:
            raise ImageFault(
                f"has 8 bits per channel, and {limits} with data.depth={self.depth} is about "
                "deeper images: save it like these"
            )
        if x.dtype == np.uint16 and self.depth == 8:
            raise ImageFault(
                "has 16 bits per channel: set data.depth=16, or save it as an 8-bit image"
            )
        numbers = x.astype(np.float32)
        if x.dtype.kind in "iu" and not np.array_equal(numbers.astype(np.float64), x):
            raise ImageFault(f"holds {x.dtype} numbers that float32 cannot: save it as floats")
        lowest, highest = float(numbers.min()), float(numbers.max())
        is_inside = self.low <= lowest and highest <= self.high  # False for NaN
        if is_inside:
            return numbers
        if self.clip and np.isfinite(lowest) and np.isfinite(highest):
            return np.clip(numbers, np.float32(self.low), np.float32(self.high))
        raise ImageFault(
            f"holds values from {lowest:g} to {highest:g}, outside value_range="
            f"[{self.low:g},{self.high:g}]: {self.fix}"
        )

    def to_output(self, x: np.ndarray) -> np.ndarray:
        """Convert to the output of the data set: levels unchanged, numbers scaled to [-1, 1]."""
        if not self.holds_numbers:
            return x
        return (x - np.float32(self.low)) * np.float32(2 / (self.high - self.low)) - np.float32(1)


def pixel_format(depth: Depth, value_range: list[float] | None, clip: bool = False) -> PixelFormat:
    """Return the format for the settings data.depth, data.value_range and data.clip.

    Args:
        depth: 8, 16 or "float".
        value_range: [lowest, highest] of the files' numbers, which become -1 and 1; None: integers
            are levels, floats lie in [0, 1].
        clip: whether numbers outside of the range are clipped.

    Raises:
        ConfigError: the range is not a range.
    """
    if value_range is None:
        return PixelFormat(depth, clip=clip)
    if len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ConfigError(
            f"data.value_range={value_range} is not a range: give [lowest,highest], such as [0,1]."
        )
    low, high = float(value_range[0]), float(value_range[1])
    return PixelFormat(depth, low, high, ranged=depth != "float", clip=clip)


def white_level(dtype: np.dtype) -> float:
    """Return the value of white, and of opaque in an alpha channel."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def to_channels(picture: Picture, channels: int) -> Picture:
    """Convert an image to another number of channels.

    Grey becomes RGB by repetition, RGB becomes grey by the luma weights of ITU-R BT.601, a missing
    alpha becomes opaque and an opaque alpha is dropped. Bands whose meaning is unknown are neither
    converted nor dropped.

    Args:
        picture: the image; uint8, uint16 or float32.
        channels: from 1 on.

    Raises:
        ImageFault: transparency would be lost, or there are other bands than `channels`.
    """
    x, has_alpha = picture.pixels, picture.alpha
    if x.shape[-1] == channels:
        return picture
    alpha = x[..., -1:] if has_alpha else None
    colors = x[..., :-1] if has_alpha else x
    if picture.colors and channels <= 4:
        wants_alpha = channels in (2, 4)
        wanted = 1 if channels < 3 else 3
        if colors.shape[-1] < wanted:
            colors = np.repeat(colors, 3, axis=2)
        elif colors.shape[-1] > wanted:
            colors = _luma(colors)
    elif has_alpha and colors.shape[-1] in (channels, channels - 1):
        wants_alpha = colors.shape[-1] == channels - 1
    else:
        raise ImageFault(_bands_fault(x.shape[-1], channels, picture))
    if not wants_alpha:
        if alpha is not None and (alpha != white_level(x.dtype)).any():
            raise ImageFault(
                f"has transparency, which {channels} channel{'s' * (channels > 1)} cannot store: "
                f"flatten it onto a background, or set its channels to {channels + 1}"
            )
        return picture._replace(pixels=colors, alpha=False)
    if alpha is None:
        alpha = np.full_like(colors[..., :1], white_level(x.dtype))
    return picture._replace(pixels=np.concatenate([colors, alpha], axis=2), alpha=True)


def is_grey(x: np.ndarray) -> bool:
    """Return whether an image [H, W, C] shows no colour: its three channels are the same."""
    return x.shape[-1] < 3 or bool((x[..., :1] == x[..., 1:3]).all())


def _bands_fault(bands: int, channels: int, picture: Picture) -> str:
    if bands in (2, 4) and not picture.colors:
        return (
            f"has {bands} bands, and the file does not say that the last one is alpha: save it "
            f"with {channels}, set its channels to {bands}, or declare transparency as alpha "
            "(ExtraSamples 2)"
        )
    return (
        f"has {counted(bands, 'channel')}, not {channels}: set its channels to {bands}, or save it "
        f"with {channels}"
    )


def _luma(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.float32:
        return (x @ (_LUMA / 65536).astype(np.float32))[..., None]
    total = x.astype(np.int64) @ _LUMA
    return ((total + 32768) >> 16).astype(x.dtype)[..., None]


def resize(
    x: np.ndarray, size: tuple[int, int], by: Image.Resampling, alpha: bool = False
) -> np.ndarray:
    """Resize an image [H, W, C] with a filter of Pillow, each band by itself.

    With an alpha, the other bands are weighted by it. Images of more than 8 bits are resized as
    floats. Overshoots of the filter are clipped: to the possible values of integers, to the
    image's own range for floats.

    Args:
        x: uint8, uint16 or float32.
        size: (height, width).
        by: the filter.
        alpha: whether the last band is alpha.
    """
    if x.shape[:2] == size:
        return x
    if x.dtype == np.uint8:
        return _resize_levels(x, size, by, alpha)
    values = x.astype(np.float32)
    if alpha:
        values[..., :-1] *= values[..., -1:]
    values = _resize_planes(values, size, by)
    if alpha:
        last = values[..., -1:]
        colors = np.zeros_like(values[..., :-1])  # where the image is transparent
        np.divide(values[..., :-1], last, out=colors, where=last > 1e-6 * white_level(x.dtype))
        values = np.concatenate([colors, last], axis=2)
    if x.dtype == np.float32:
        return np.clip(values, x.min(axis=(0, 1)), x.max(axis=(0, 1)))
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)


def _resize_levels(
    x: np.ndarray, size: tuple[int, int], by: Image.Resampling, alpha: bool
) -> np.ndarray:
    """Resize uint8 [H, W, C]; Pillow itself weights the colours of LA and RGBA by their alpha."""
    bands = x.shape[-1]
    if bands not in (1, 3) and not alpha:
        return _resize_planes(x, size, by)
    if alpha and bands not in (2, 4):
        deep = resize(x.astype(np.uint16) * 257, size, by, alpha)
        return ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    height, width = size
    image = Image.fromarray(x[..., 0] if bands == 1 else x).resize((width, height), by)
    array = np.asarray(image)
    return array if array.ndim == 3 else array[..., None]


def _resize_planes(x: np.ndarray, size: tuple[int, int], by: Image.Resampling) -> np.ndarray:
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((size[1], size[0]), by))
        for plane in np.moveaxis(x, 2, 0)
    ]
    return np.stack(planes, axis=2)
