"""Reflection padding of images, reproducible on CUDA; the border pixel is not repeated."""

import torch
import torch.nn.functional as F
from torch import Tensor


def reflect_pad(x: Tensor, padding: int) -> Tensor:
    """Pad every side by reflection.

    Args:
        x: [N, C, H, W] with H, W > padding.
        padding: pixels added on every side.

    Returns:
        [N, C, H + 2 * padding, W + 2 * padding].
    """
    return reflect_pad_sides(x, padding, padding, padding, padding)


def reflect_pad_sides(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad each side by its own number of pixels.

    Args:
        x: [N, C, H, W].
        left: pixels added on the left, less than W.
        right: pixels added on the right, less than W.
        top: pixels added at the top, less than H.
        bottom: pixels added at the bottom, less than H.

    Returns:
        [N, C, H + top + bottom, W + left + right].
    """
    # The backward pass of CUDA's padding accumulates with atomics, in no fixed order.
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return pad_by_slices(x, left, right, top, bottom)
    return F.pad(x, (left, right, top, bottom), mode="reflect")


def pad_by_slices(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Compute `reflect_pad_sides` slower, with a backward pass that adds in a fixed order.

    Args:
        x: [N, C, H, W].
        left: see `reflect_pad_sides`, as are the other sides.
        right: less than W.
        top: less than H.
        bottom: less than H.
    """
    h, w = x.shape[2:]
    # Rows first, then columns of the result, which fills the corners too.
    x = torch.cat([x[:, :, 1 : top + 1].flip(2), x, x[:, :, h - 1 - bottom : h - 1].flip(2)], dim=2)
    return torch.cat(
        [x[..., 1 : left + 1].flip(3), x, x[..., w - 1 - right : w - 1].flip(3)], dim=3
    )


def reflect_to_multiple(x: Tensor, multiple: int, min_size: int = 1) -> Tensor:
    """Extend images at the right and the bottom until their sides are multiples of `multiple`.

    Args:
        x: [N, C, H, W] of any size; images smaller than the padding are reflected repeatedly.
        multiple: pixels.
        min_size: smallest side of the result.

    Returns:
        [N, C, H', W'].
    """
    for dim in (2, 3):
        size = x.shape[dim]
        target = max(-(-size // multiple), -(-min_size // multiple)) * multiple
        if target > size:
            # By indices: torch refuses to reflect by more than the size of the image.
            indices = reflect_indices(torch.arange(target), size)
            x = x.index_select(dim, indices.to(x.device))
    return x


def reflect_indices(indices: Tensor, size: int) -> Tensor:
    """Map any integers to the pixels 0 ... size - 1 of a periodic reflection.

    0, 1, ..., size - 1, size - 2, ..., 1, 0, 1, ...; a single pixel is repeated.

    Args:
        indices: integers of any shape, negative ones too.
        size: pixels of the line.
    """
    period = max(2 * (size - 1), 1)
    indices = indices.remainder(period)
    return torch.minimum(indices, period - indices) if size > 1 else indices
