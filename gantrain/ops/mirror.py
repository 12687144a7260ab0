"""Bringing pictures to a multiple of a size by mirroring, and back."""

import torch
from torch import Tensor


def mirror_to_multiple(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Continue [N, C, H, W] at the right and the bottom, mirrored at the edge pixel.

    Returns [N, C, H', W'] with sides that are the next multiples of `multiple`, `least` or more. A
    picture smaller than what is missing is mirrored to and fro; one pixel is repeated.
    """
    for dim in (2, 3):
        size = x.shape[dim]
        target = max(-(-size // multiple), -(-least // multiple)) * multiple
        if target > size:
            x = x.index_select(dim, _mirrored(size, target).to(x.device))
    return x


def _mirrored(size: int, target: int) -> Tensor:
    """0, 1, ..., size - 1, size - 2, ..., 1, 0, 1, ...: `target` indices."""
    if size == 1:
        return torch.zeros(target, dtype=torch.long)
    phase = torch.arange(target) % (2 * size - 2)
    return torch.minimum(phase, 2 * size - 2 - phase)
