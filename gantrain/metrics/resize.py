"""Resizing as two matrix products, by the two methods behind published numbers."""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Resize = Literal["clean", "tf1"]
_CPU = torch.device("cpu")


def resize(images: Tensor, side: int, method: Resize) -> Tensor:
    """Resize images to a square.

    Args:
        images: [N, C, H, W], any dtype and range.
        side: of the result in pixels.
        method: "clean": Pillow's bicubic filter on floats, which averages when downsampling (Parmar
            et al. 2022, arXiv 2104.11222). "tf1": the bilinear interpolation of TensorFlow 1, which
            skips pixels when downsampling, as in the first published FID code.

    Returns:
        float32 [N, C, side, side] in the same range; a bicubic filter overshoots, and nothing is
        clamped or rounded.
    """
    rows = resize_matrix(method, images.shape[2], side, images.device)
    columns = resize_matrix(method, images.shape[3], side, images.device)
    return rows @ (images.float() @ columns.T)


@lru_cache(maxsize=32)
def resize_matrix(method: Resize, size: int, side: int, device: torch.device = _CPU) -> Tensor:
    """Return the weights float32 [side, size] of the `size` old pixels in each new one."""
    matrix = _bicubic(size, side) if method == "clean" else _tf1(size, side)
    return matrix.float().to(device)


def _tf1(size: int, side: int) -> Tensor:
    # float32 as in TensorFlow, whose rounding decides which pixel a position falls on
    position = torch.arange(side, dtype=torch.float32) * (size / side)
    low = position.floor().long()
    fraction = (position - low).double()
    weights = torch.zeros(side, size, dtype=torch.float64)
    rows = torch.arange(side)
    weights.index_put_((rows, low), 1 - fraction, accumulate=True)
    weights.index_put_((rows, (low + 1).clamp(max=size - 1)), fraction, accumulate=True)
    return weights


def _bicubic(size: int, side: int) -> Tensor:
    scale = size / side
    stretch = max(scale, 1.0)  # when downsampling, the filter is as wide as the new pixels
    centre = (torch.arange(side, dtype=torch.float64) + 0.5) * scale
    first = (centre - 2 * stretch + 0.5).trunc().clamp(min=0)
    last = (centre + 2 * stretch + 0.5).trunc().clamp(max=size)
    pixel = torch.arange(size, dtype=torch.float64)
    inside = (pixel >= first[:, None]) & (pixel < last[:, None])
    weights = _keys((pixel + 0.5 - centre[:, None]) / stretch) * inside
    return weights / weights.sum(1, keepdim=True)


def _keys(x: Tensor) -> Tensor:
    """Cubic convolution kernel with a = -1/2 (Keys 1981)."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
