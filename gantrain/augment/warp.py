"""Carrying out all the geometric transforms in one resampling.

To twice the resolution, bilinear look-up, back again (Karras et al. 2020, 2006.06676, appendix B).
"""

from math import ceil

import torch
from torch import Tensor

from gantrain.augment.bilinear import sample_bilinear
from gantrain.augment.draw import to_device_like
from gantrain.augment.wavelet import BORDER, REACH, Margins, downsample_2x, upsample_2x

# Margins on an accelerator are multiples of this, so that few different shapes occur.
_BUCKET = 16


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Look every pixel up at the place that its image's matrix gives.

    The image goes on in its reflection, once on each side; beyond that it is 0. An identity does
    not change its image, so on a CPU it costs nothing, and each image gets the margins it needs.
    An accelerator takes the whole batch at once.

    Args:
        images: [N, C, H, W].
        inverse: [N, 3, 3] float64 on the CPU, from `gantrain.augment.geometry.inverse_matrix`.

    Returns:
        [N, C, H, W], differentiable in `images` any number of times.
    """
    moved = (inverse != torch.eye(3, dtype=inverse.dtype)).flatten(1).any(1).tolist()
    if not any(moved):
        return images
    size = (images.shape[2], images.shape[3])
    if images.device.type != "cpu":
        return _resample(images, inverse, required_margins(inverse, size, bucket=_BUCKET))
    singles = zip(images.split(1), inverse.split(1), moved, strict=True)
    return torch.cat(
        [_resample(x, m, required_margins(m, size)) if go else x for x, m, go in singles]
    )


def required_margins(inverse: Tensor, size: tuple[int, int], bucket: int = 1) -> Margins:
    """How far the corners land outside of the image, plus the filters' reach, up to size - 1.

    Args:
        inverse: [N, 3, 3]; the margins serve all N.
        size: (height, width) in pixels.
        bucket: rounded up to a multiple of it.
    """
    height, width = size
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[-x, x, x, -x], [-y, -y, y, y], [1, 1, 1, 1]], dtype=inverse.dtype)
    places = inverse[:, :2] @ corners
    low, high = places.amin((0, 2)).tolist(), places.amax((0, 2)).tolist()

    def margin(overshoot: float, longest: int) -> int:
        needed = ceil(overshoot + 2 * REACH)
        return min(max(bucket * ceil(needed / bucket), 0), longest)

    return Margins(
        left=margin(-low[0] - x, width - 1),
        right=margin(high[0] - x, width - 1),
        top=margin(-low[1] - y, height - 1),
        bottom=margin(high[1] - y, height - 1),
    )


def _resample(images: Tensor, inverse: Tensor, margins: Margins) -> Tensor:
    size = (images.shape[2], images.shape[3])
    grid = sampling_grid(to_device_like(lookup(inverse, size, margins), images), size)
    return downsample_2x(sample_bilinear(upsample_2x(images, margins), grid))


def lookup(inverse: Tensor, size: tuple[int, int], margins: Margins) -> Tensor:
    """The matrices in up-pixels, the pixels of twice the resolution.

    The filters have an even length and move the image by half an up-pixel, so up-pixel v from the
    centre looks up q = A (v + 1/2) - 1/2, where A moves by twice as many up-pixels as pixels.

    Returns:
        [N, 2, 3] from (v + 1/2, 1) to q in [-1, 1] from edge to edge of the padded image.
    """
    height, width = size
    dtype = inverse.dtype
    padded = [width + margins.left + margins.right, height + margins.top + margins.bottom]
    centre = torch.tensor([width + 2 * margins.left, height + 2 * margins.top], dtype=dtype)
    matrix = inverse[:, :2].clone()
    matrix[:, :, 2] = 2 * matrix[:, :, 2] - 0.5 + centre  # up-pixels from the upper left corner
    matrix /= torch.tensor(padded, dtype=dtype)[:, None]
    matrix[:, :, 2] -= 1
    return matrix


def sampling_grid(matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, 2, 3] from `lookup` -> [N, 2H + 2 BORDER, 2W + 2 BORDER, 2].

    Sums instead of a matrix product, which would round the coordinates under TF32.
    """
    y, x = (
        torch.arange(1 - side - BORDER, side + BORDER + 1, device=matrix.device) for side in size
    )
    along_x, along_y, offset = matrix[:, None, None].unbind(-1)
    return along_x * x[:, None] + along_y * y[:, None, None] + offset
