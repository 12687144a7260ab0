"""Lossless upsampling and downsampling by 2 around a warp.

The filters are the low-pass of the sym6 wavelet and its reverse, an orthogonal pair (Karras et al.
2020, arXiv 2006.06676, appendix B).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gantrain.ops import fir
from gantrain.ops.constants import made_once
from gantrain.ops.reflect import reflect_pad_sides

_SYM6 = torch.tensor(
    [
        [0.015404109327027373, 0.0034907120842174702, -0.11799011114819057],
        [-0.048311742585633, 0.4910559419267466, 0.787641141030194],
        [0.3379294217276218, -0.07263752278646252, -0.021060292512300564],
        [0.04472490177066578, 0.0017677118642428036, -0.007800708325034148],
    ],
    dtype=torch.float64,
).flatten()
SYM6: list[float] = (_SYM6 / _SYM6.sum()).tolist()
REACH = len(SYM6) // 2  # pixels on each side of a pixel that up- and downsampling read
BORDER = len(SYM6) // 2 - 1  # up-pixels around the image that downsampling reads


class Margins(NamedTuple):
    """Pixels to reflect on each side."""

    left: int
    right: int
    top: int
    bottom: int


def upsample_2x(images: Tensor, margins: Margins) -> Tensor:
    """Reflect at the borders, then upsample.

    A CPU uses matrix products, which are 2 to 6 times faster from 32 to 512 px than its
    convolutions; an accelerator filters, which is cheaper there and avoids TF32.

    Args:
        images: [N, C, H, W].
        margins: pixels to reflect, each less than the size of the image.

    Returns:
        [N, C, 2 (H + top + bottom), 2 (W + left + right)].
    """
    if images.device.type != "cpu":
        return upsample_2x_by_filter(images, margins)
    height, width = images.shape[2:]
    rows = _upsampling_matrix(height, images.dtype)
    columns = _upsampling_matrix(width, images.dtype)
    # One cached matrix has the widest margins; smaller ones are a slice of it.
    rows = rows[:, _within_margins(height, margins.top, margins.bottom)]
    columns = columns[:, _within_margins(width, margins.left, margins.right)]
    # The filter is separable: one product over columns, one over rows.
    return rows.mT @ (images @ columns)


def downsample_2x(x: Tensor) -> Tensor:
    """Downsample; the inverse of `upsample_2x`.

    Args:
        x: [N, C, 2H + 2 BORDER, 2W + 2 BORDER].

    Returns:
        [N, C, H, W].
    """
    if x.device.type != "cpu":
        return downsample_2x_by_filter(x)
    rows = _downsampling_matrix(x.shape[2], x.dtype)
    columns = _downsampling_matrix(x.shape[3], x.dtype)
    return rows.mT @ (x @ columns)


def upsample_2x_by_filter(images: Tensor, margins: Margins) -> Tensor:
    """Compute `upsample_2x` with the filter of the paper, on any device.

    Args:
        images: [N, C, H, W].
        margins: pixels to reflect, each less than the size of the image.
    """
    # Reflected before the upsampling, at a quarter of the pixels.
    x = reflect_pad_sides(images, *margins)
    return fir.upsample2d(x, SYM6)


def downsample_2x_by_filter(x: Tensor) -> Tensor:
    """Compute `downsample_2x` with the filter of the paper, on any device."""
    return fir.upfirdn2d(x, SYM6, down=2, flip=True)


@made_once
def _upsampling_matrix(size: int, dtype: torch.dtype) -> Tensor:
    """Return `upsample_2x` of a line with the widest margins, [size, 2 (3 size - 2)]."""
    # The matrix of a linear map is what it makes of the unit vectors.
    lines = torch.eye(size, dtype=torch.float64)[None, None]
    lines = reflect_pad_sides(lines, size - 1, size - 1, 0, 0)
    before, after = len(SYM6) // 2, len(SYM6) // 2 - 1
    padding = (before, after, 0, 0)
    y = fir.upfirdn2d(lines, [SYM6], up=(2, 1), padding=padding, gain=2.0)
    return y[0, 0].to(dtype)


def _within_margins(size: int, before: int, after: int) -> slice:
    """Return the columns of `_upsampling_matrix` that belong to these margins."""
    widest = size - 1
    return slice(2 * (widest - before), 2 * (widest + size + after))


@made_once
def _downsampling_matrix(size: int, dtype: torch.dtype) -> Tensor:
    """Return `downsample_2x` of a line, [size, size / 2 - BORDER]."""
    lines = torch.eye(size, dtype=torch.float64)[None, None]
    return fir.upfirdn2d(lines, [SYM6], down=(2, 1), flip=True)[0, 0].to(dtype)
