"""Bilinear sampling, differentiable in the images any number of times."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.ops.functions import QuickFunction

_BILINEAR, _ZEROS, _ALIGN_CORNERS = 0, 0, False  # ATen's codes


def sample_bilinear(images: Tensor, grid: Tensor) -> Tensor:
    """Compute `F.grid_sample(images, grid, align_corners=False)`, zero outside the images.

    The result is linear in `images`: the gradient is the adjoint map, whose gradient is the
    sampling again. (torch < 2.13 cannot differentiate grid_sample twice.) `grid` is a constant.

    Args:
        images: [N, C, H, W].
        grid: [N, h, w, 2], x and y in [-1, 1] from edge to edge of the image.

    Returns:
        [N, C, h, w].
    """
    if images.is_cuda and torch.are_deterministic_algorithms_enabled():
        return sample_by_gather(images, grid)
    result: Tensor = _Sample.apply(images, grid)
    return result


def sample_by_gather(images: Tensor, grid: Tensor) -> Tensor:
    """Compute `sample_bilinear` slower, by four look-ups with a deterministic gradient.

    CUDA's gradient of grid_sample adds in no fixed order; that of gather has a deterministic mode.

    Args:
        images: [N, C, H, W].
        grid: [N, h, w, 2], see `sample_bilinear`.
    """
    n, c, height, width = images.shape
    # From [-1, 1], edge to edge, to pixel indices: align_corners=False.
    x = ((grid[..., 0] + 1) * width - 1) / 2
    y = ((grid[..., 1] + 1) * height - 1) / 2
    left, top = x.floor(), y.floor()
    result = images.new_zeros(n, c, grid.shape[1] * grid.shape[2])
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
        # Clamped to be a valid index; outside the image its weight is 0.
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        index = index.long().flatten(1)[:, None].expand(-1, c, -1)
        result = result + weight.flatten(1)[:, None] * images.flatten(2).gather(2, index)
    return result.view(n, c, *grid.shape[1:3])


class _Sample(QuickFunction):
    """The sampling with rules for its gradient and for forward mode."""

    @staticmethod
    def forward(images: Tensor, grid: Tensor) -> Tensor:
        return F.grid_sample(images, grid, align_corners=False)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        images, grid = inputs
        ctx.save_for_backward(grid)
        ctx.save_for_forward(grid)
        ctx.size = images.shape

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        # A function of its own, because the gradient has to be differentiable again.
        return _SampleAdjoint.apply(grads[0], grid, ctx.size), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(tangents[0], grid)  # a linear map is its own derivative


class _SampleAdjoint(QuickFunction):
    """The transposed map of `_Sample`, from [N, C, h, w] to images of a size."""

    @staticmethod
    def forward(grad: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        # This gradient depends on the shape of the images only: one number stands in for them.
        images = grad.new_zeros(1).expand(size)
        mask = (True, False)
        return torch.ops.aten.grid_sampler_2d_backward(
            grad, images, grid, _BILINEAR, _ZEROS, _ALIGN_CORNERS, mask
        )[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, torch.Size], output: Tensor) -> None:
        _, grid, ctx.size = inputs
        ctx.save_for_backward(grid)
        ctx.save_for_forward(grid)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(grads[0], grid), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (grid,) = ctx.saved_tensors
        return _SampleAdjoint.apply(tangents[0], grid, ctx.size)
