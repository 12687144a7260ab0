"""Reflection at the borders of an image, the border pixel not repeated."""

import torch
import torch.nn.functional as F
from torch import Tensor


def reflected(places: Tensor, size: int) -> Tensor:
    """Any integers -> the pixels 0 ... size - 1 that appear there in the endless reflection."""
    period = max(2 * (size - 1), 1)
    places = places.remainder(period)
    return torch.minimum(places, period - places) if size > 1 else places


def mirror(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """[N, C, H, W] -> [N, C, H + top + bottom, W + left + right]; each side less than the image."""
    if not (x.is_cuda and torch.are_deterministic_algorithms_enabled()):
        return F.pad(x, (left, right, top, bottom), mode="reflect")
    return mirror_by_index(x, left, right, top, bottom)


def mirror_by_index(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """The same, slower, with a gradient that CUDA can add up in a fixed order."""
    rows = torch.arange(-top, x.shape[2] + bottom, device=x.device)
    columns = torch.arange(-left, x.shape[3] + right, device=x.device)
    x = x.index_select(2, reflected(rows, x.shape[2]))
    return x.index_select(3, reflected(columns, x.shape[3]))
