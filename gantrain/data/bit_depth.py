"""Pictures as arrays [H, W, C]: their depth, their channels, their size.

uint8 and uint16 hold whole numbers up to 255 and 65535, float32 any numbers. C: 1 gray, 2 gray and
alpha, 3 RGB, 4 RGB and alpha.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from gantrain.errors import ConfigError

Depth = Literal[8, 16, "float"]
Channels = Literal[1, 2, 3, 4]
_DTYPES: dict[Depth, np.dtype] = {
    8: np.dtype(np.uint8),
    16: np.dtype(np.uint16),
    "float": np.dtype(np.float32),
}
_LUMA = np.array([19595, 38470, 7471])  # ITU-R 601 in 65536ths, as Pillow has it


class ImageFault(Exception):
    """Why one file cannot serve, as a phrase that follows the file's name."""


@dataclass(frozen=True)
class PixelFormat:
    """What a data set makes of its files' numbers.

    depth: bits of a channel, or "float". low, high: of floats, what becomes -1 and 1.
    """

    depth: Depth = 8
    low: float = 0.0
    high: float = 1.0

    @property
    def dtype(self) -> np.dtype:
        """Of the arrays while pictures are resized, cached and cut."""
        return _DTYPES[self.depth]

    def convert(self, x: np.ndarray) -> np.ndarray:
        """A decoded picture in this depth, without loss. Raises ImageFault where that cannot be."""
        if x.dtype == np.float32:
            return self._floats(x)
        if self.depth == "float":
            if (self.low, self.high) != (0.0, 1.0):
                raise ImageFault(
                    f"holds whole numbers, which have no place in value_range=[{self.low:g},"
                    f"{self.high:g}]: save it as floats"
                )
            return x.astype(np.float32) / np.iinfo(x.dtype).max
        if x.dtype == np.uint16 and self.depth == 8:
            raise ImageFault(
                "has 16 bits per channel: set data.depth=16, or save it as an 8-bit picture"
            )
        return x if x.dtype == self.dtype else x.astype(np.uint16) * 257

    def _floats(self, x: np.ndarray) -> np.ndarray:
        if self.depth != "float":
            raise ImageFault(
                "holds floats: set data.depth=float and data.value_range=[lowest,highest], or save "
                "it with 8 or 16 bits"
            )
        least, most = float(x.min()), float(x.max())
        if not (self.low <= least and most <= self.high):  # NaN is neither
            raise ImageFault(
                f"holds values from {least:g} to {most:g}, outside of value_range="
                f"[{self.low:g},{self.high:g}]: widen it, or mend the picture"
            )
        return x

    def to_output(self, x: np.ndarray) -> np.ndarray:
        """As the picture leaves the data set: whole numbers as they are, floats in [-1, 1]."""
        if self.depth != "float":
            return x
        return (x - np.float32(self.low)) * np.float32(2 / (self.high - self.low)) - np.float32(1)


def pixel_format(depth: Depth, value_range: list[float] | None) -> PixelFormat:
    """From the keys data.depth and data.value_range. Raises ConfigError."""
    if value_range is None:
        return PixelFormat(depth)
    if len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ConfigError(
            f"data.value_range={value_range} is no range: give [lowest,highest], such as [0,1]."
        )
    if depth != "float":
        raise ConfigError(
            f"data.value_range is for floats, and data.depth={depth} has its own range: leave it "
            "out, or set data.depth=float."
        )
    return PixelFormat(depth, float(value_range[0]), float(value_range[1]))


def white_level(dtype: np.dtype) -> float:
    """The number that means white, or opaque."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def to_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """[H, W, C] with another number of channels.

    Gray becomes RGB by repetition, RGB becomes gray by the ITU-R 601 luma weights, a missing alpha
    is opaque and a wholly opaque alpha is dropped. Raises ImageFault for transparency that would
    be lost.
    """
    alpha = x[..., -1:] if x.shape[-1] in (2, 4) else None
    colours = x if alpha is None else x[..., :-1]
    wanted = 1 if channels < 3 else 3
    if colours.shape[-1] < wanted:
        colours = np.repeat(colours, 3, axis=2)
    elif colours.shape[-1] > wanted:
        colours = _luma(colours)
    if channels in (1, 3):
        if alpha is not None and (alpha != white_level(x.dtype)).any():
            raise ImageFault(
                f"has transparency, which {channels} channel{'s' * (channels > 1)} cannot hold: "
                f"flatten it onto a background, or set its channels to {channels + 1}"
            )
        return colours
    if alpha is None:
        alpha = np.full_like(colours[..., :1], white_level(x.dtype))
    return np.concatenate([colours, alpha], axis=2)


def _luma(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.float32:
        return (x @ (_LUMA / 65536).astype(np.float32))[..., None]
    total = x.astype(np.int64) @ _LUMA
    return ((total + 32768) >> 16).astype(x.dtype)[..., None]


def resize(x: np.ndarray, size: tuple[int, int], by: Image.Resampling) -> np.ndarray:
    """[H, W, C] with (height, width) `size`, by a filter of Pillow's; colours count by their alpha.

    Deeper pictures than 8 bits go through Pillow channel by channel as floats; what a filter adds
    beyond the lowest and highest value there can be is cut off.
    """
    height, width = size
    if x.shape[:2] == (height, width):
        return x
    if x.dtype == np.uint8:
        image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x).resize((width, height), by)
        array = np.asarray(image)
        return array if array.ndim == 3 else array[..., None]
    values = x.astype(np.float32)
    has_alpha = x.shape[-1] in (2, 4)
    if has_alpha:
        values[..., :-1] *= values[..., -1:]
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), by))
        for plane in np.moveaxis(values, 2, 0)
    ]
    values = np.stack(planes, axis=2)
    if has_alpha:
        alpha = values[..., -1:]
        colours = np.zeros_like(values[..., :-1])  # where nothing is to be seen
        np.divide(values[..., :-1], alpha, out=colours, where=alpha > 1e-6 * white_level(x.dtype))
        values = np.concatenate([colours, alpha], axis=2)
    if x.dtype == np.float32:
        return np.clip(values, x.min(axis=(0, 1)), x.max(axis=(0, 1)))
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)
