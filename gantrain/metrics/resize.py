"""Resizing as two matrix products, by the two definitions that published numbers follow."""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Resize = Literal["clean", "tf1"]
_CPU = torch.device("cpu")


def resize(images: Tensor, side: int, by: Resize) -> Tensor:
    """[N, C, H, W] -> float32 [N, C, side, side] in the same range.

    clean: Pillow's bicubic filter on floats, which averages when it shrinks (Parmar et al. 2022).
    tf1: the bilinear one of TensorFlow 1, which skips pixels when it shrinks: that of the first
    published FID code. A bicubic filter overshoots, and nothing is clamped or rounded.
    """
    rows = resize_matrix(by, images.shape[2], side, images.device)
    columns = resize_matrix(by, images.shape[3], side, images.device)
    return rows @ (images.float() @ columns.T)


@lru_cache(maxsize=32)
def resize_matrix(by: Resize, size: int, side: int, device: torch.device = _CPU) -> Tensor:
    """float32 [side, size]: what each of the new pixels takes of the old ones."""
    return (_bicubic if by == "clean" else _tf1)(size, side).float().to(device)


def _tf1(size: int, side: int) -> Tensor:
    place = torch.arange(side, dtype=torch.float32) * (size / side)
    low = place.floor().long()
    share = (place - low).double()
    weights = torch.zeros(side, size, dtype=torch.float64)
    rows = torch.arange(side)
    weights.index_put_((rows, low), 1 - share, accumulate=True)
    weights.index_put_((rows, (low + 1).clamp(max=size - 1)), share, accumulate=True)
    return weights


def _bicubic(size: int, side: int) -> Tensor:
    scale = size / side
    stretch = max(scale, 1.0)  # when shrinking the filter is as wide as the new pixels
    centre = (torch.arange(side, dtype=torch.float64) + 0.5) * scale
    first = (centre - 2 * stretch + 0.5).trunc().clamp(min=0)
    last = (centre + 2 * stretch + 0.5).trunc().clamp(max=size)
    pixel = torch.arange(size, dtype=torch.float64)
    inside = (pixel >= first[:, None]) & (pixel < last[:, None])
    weights = _keys((pixel + 0.5 - centre[:, None]) / stretch) * inside
    return weights / weights.sum(1, keepdim=True)


def _keys(x: Tensor) -> Tensor:
    """The cubic convolution kernel with a = -1/2 (Keys 1981)."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
