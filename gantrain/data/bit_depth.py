"""Images as arrays [H, W, C]: bit depth, channels and size.

uint8 and uint16 hold integers up to 255 and 65535, float32 any numbers. C: 1 grey, 2 grey and
alpha, 3 RGB, 4 RGB and alpha.
"""

from dataclasses import dataclass, field
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
_LUMA = np.array([19595, 38470, 7471])  # ITU-R BT.601 in 65536ths, as in Pillow


class ImageFault(Exception):
    """A file that cannot be used; the message is a phrase that follows the file's name."""


@dataclass(frozen=True)
class PixelFormat:
    """The pixel format of a data set, to which the values of its files are converted.

    Args:
        depth: bits per channel, or "float".
        low, high: of floats, the values that become -1 and 1.
        fix: what to do about values outside of them.
    """

    depth: Depth = 8
    low: float = 0.0
    high: float = 1.0
    fix: str = field(default="widen the range, or fix the image", compare=False)

    @property
    def dtype(self) -> np.dtype:
        """Dtype of images while they are resized, cached and cropped."""
        return _DTYPES[self.depth]

    def convert(self, x: np.ndarray) -> np.ndarray:
        """Convert a decoded image [H, W, C] to this format without loss.

        Raises:
            ImageFault: this is impossible.
        """
        if x.dtype == np.float32:
            return self._check_floats(x)
        if self.depth == "float":
            if (self.low, self.high) != (0.0, 1.0):
                raise ImageFault(
                    f"holds integers, which value_range=[{self.low:g},{self.high:g}] does not "
                    "apply to: save it as floats"
                )
            return x.astype(np.float32) / np.iinfo(x.dtype).max
        if x.dtype == np.uint16 and self.depth == 8:
            raise ImageFault(
                "has 16 bits per channel: set data.depth=16, or save it as an 8-bit image"
            )
        return x if x.dtype == self.dtype else x.astype(np.uint16) * 257

    def _check_floats(self, x: np.ndarray) -> np.ndarray:
        if self.depth != "float":
            raise ImageFault(
                "holds floats: set data.depth=float and data.value_range=[lowest,highest], or save "
                "it with 8 or 16 bits"
            )
        lowest, highest = float(x.min()), float(x.max())
        if not (self.low <= lowest and highest <= self.high):  # also true for NaN
            raise ImageFault(
                f"holds values from {lowest:g} to {highest:g}, outside value_range="
                f"[{self.low:g},{self.high:g}]: {self.fix}"
            )
        return x

    def to_output(self, x: np.ndarray) -> np.ndarray:
        """Convert to the output of the data set: integers unchanged, floats scaled to [-1, 1]."""
        if self.depth != "float":
            return x
        return (x - np.float32(self.low)) * np.float32(2 / (self.high - self.low)) - np.float32(1)


def pixel_format(depth: Depth, value_range: list[float] | None) -> PixelFormat:
    """Return the format for the settings data.depth and data.value_range.

    Args:
        depth: 8, 16 or "float".
        value_range: [lowest, highest] of the files' floats, which become -1 and 1; None: that of
            the depth.

    Raises:
        ConfigError: the range is not a range, or the depth has one of its own.
    """
    if value_range is None:
        return PixelFormat(depth)
    if len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ConfigError(
            f"data.value_range={value_range} is not a range: give [lowest,highest], such as [0,1]."
        )
    if depth != "float":
        raise ConfigError(
            f"data.value_range is for floats, and data.depth={depth} has its own range: leave it "
            "out, or set data.depth=float."
        )
    return PixelFormat(depth, float(value_range[0]), float(value_range[1]))


def white_level(dtype: np.dtype) -> float:
    """Return the value of white, and of opaque in an alpha channel."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def to_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """Convert an image [H, W, C] to another number of channels.

    Grey becomes RGB by repetition, RGB becomes grey by the luma weights of ITU-R BT.601, a missing
    alpha becomes opaque and an opaque alpha is dropped.

    Args:
        x: uint8, uint16 or float32.
        channels: 1 to 4.

    Raises:
        ImageFault: transparency would be lost.
    """
    alpha = x[..., -1:] if x.shape[-1] in (2, 4) else None
    colors = x if alpha is None else x[..., :-1]
    color_channels = 1 if channels < 3 else 3
    if colors.shape[-1] < color_channels:
        colors = np.repeat(colors, 3, axis=2)
    elif colors.shape[-1] > color_channels:
        colors = _luma(colors)
    if channels in (1, 3):
        if alpha is not None and (alpha != white_level(x.dtype)).any():
            raise ImageFault(
                f"has transparency, which {channels} channel{'s' * (channels > 1)} cannot store: "
                f"flatten it onto a background, or set its channels to {channels + 1}"
            )
        return colors
    if alpha is None:
        alpha = np.full_like(colors[..., :1], white_level(x.dtype))
    return np.concatenate([colors, alpha], axis=2)


def _luma(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.float32:
        return (x @ (_LUMA / 65536).astype(np.float32))[..., None]
    total = x.astype(np.int64) @ _LUMA
    return ((total + 32768) >> 16).astype(x.dtype)[..., None]


def resize(x: np.ndarray, size: tuple[int, int], by: Image.Resampling) -> np.ndarray:
    """Resize an image [H, W, C] with a filter of Pillow; colours are weighted by their alpha.

    Images of more than 8 bits are resized channel by channel as floats. Overshoots of the filter
    are clipped: to the possible values of integers, to the image's own range for floats.

    Args:
        x: uint8, uint16 or float32.
        size: (height, width).
        by: the filter.
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
        colors = np.zeros_like(values[..., :-1])  # where the image is transparent
        np.divide(values[..., :-1], alpha, out=colors, where=alpha > 1e-6 * white_level(x.dtype))
        values = np.concatenate([colors, alpha], axis=2)
    if x.dtype == np.float32:
        return np.clip(values, x.min(axis=(0, 1)), x.max(axis=(0, 1)))
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)
