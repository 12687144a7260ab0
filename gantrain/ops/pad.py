"""Reflection padding that is reproducible on every device."""

import torch
import torch.nn.functional as F
from torch import Tensor


def reflect_pad(x: Tensor, padding: int) -> Tensor:
    """Mirror `padding` pixels on each side, the edge pixel not repeated.

    Args:
        x: [N, C, H, W] with H, W > padding.

    Returns:
        [N, C, H + 2*padding, W + 2*padding].
    """
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return _reflect_by_slices(x, padding)
    return F.pad(x, (padding,) * 4, mode="reflect")


def _reflect_by_slices(x: Tensor, p: int) -> Tensor:
    # CUDA's own backward adds with atomics in any order; slices, flips and cat do not.
    x = torch.cat([x[:, :, 1 : p + 1].flip(2), x, x[:, :, -p - 1 : -1].flip(2)], dim=2)
    return torch.cat([x[..., 1 : p + 1].flip(3), x, x[..., -p - 1 : -1].flip(3)], dim=3)
