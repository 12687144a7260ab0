"""Apply all geometric transforms in one resampling.

Upsampling by 2, bilinear look-up, downsampling (Karras et al. 2020, arXiv 2006.06676, appendix B).
"""

from math import ceil

import torch
from torch import Tensor

from gantrain.augment.bilinear import sample_bilinear
from gantrain.augment.draw import to_device_like
from gantrain.augment.wavelet import BORDER, REACH, Margins, downsample_2x, upsample_2x

# Margins on an accelerator are multiples of this, so that only few shapes occur.
_BUCKET = 16


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Warp each image by its own matrix.

    An image is continued by one reflection on each side and is 0 beyond. On a CPU images are
    processed one by one: an identity costs nothing, and each image gets the margins it needs. On an
    accelerator the whole batch is processed at once.

    Args:
        images: [N, C, H, W].
        inverse: [N, 3, 3] float64 on the CPU, from `gantrain.augment.geometry.inverse_matrix`.

    Returns:
        [N, C, H, W], differentiable in `images` any number of times.
    """
    is_warped = (inverse != torch.eye(3, dtype=inverse.dtype)).flatten(1).any(1).tolist()
    if not any(is_warped):
        return images
    size = (images.shape[2], images.shape[3])
    if images.device.type != "cpu":
        # One launch for all: image by image, an accelerator would mostly wait for launches.
        return _resample(images, inverse, required_margins(inverse, size, bucket=_BUCKET))
    results = []
    for x, matrix, warped in zip(images.split(1), inverse.split(1), is_warped, strict=True):
        results.append(_resample(x, matrix, required_margins(matrix, size)) if warped else x)
    return torch.cat(results)


def required_margins(inverse: Tensor, size: tuple[int, int], bucket: int = 1) -> Margins:
    """Return how far the corners land outside the image, plus the reach of the filters.

    Args:
        inverse: [N, 3, 3]; the margins are enough for all N.
        size: (height, width) in pixels.
        bucket: margins are rounded up to multiples of it.

    Returns:
        Margins of at most the image's size - 1.
    """
    height, width = size
    # The centres of the corner pixels, relative to the centre of the image.
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[-x, x, x, -x], [-y, -y, y, y], [1, 1, 1, 1]], dtype=inverse.dtype)
    positions = inverse[:, :2] @ corners
    low, high = positions.amin((0, 2)).tolist(), positions.amax((0, 2)).tolist()

    def margin(overshoot: float, limit: int) -> int:
        # Twice: the upsampling and the downsampling each read that much more.
        pixels = ceil(overshoot + 2 * REACH)
        # One reflection reaches no further than the size - 1; an image that fits needs no margin.
        return min(max(bucket * ceil(pixels / bucket), 0), limit)

    return Margins(
        left=margin(-low[0] - x, width - 1),
        right=margin(high[0] - x, width - 1),
        top=margin(-low[1] - y, height - 1),
        bottom=margin(high[1] - y, height - 1),
    )


def _resample(images: Tensor, inverse: Tensor, margins: Margins) -> Tensor:
    size = (images.shape[2], images.shape[3])
    grid = sampling_grid(to_device_like(lookup_matrix(inverse, size, margins), images), size)
    return downsample_2x(sample_bilinear(upsample_2x(images, margins), grid))


def lookup_matrix(inverse: Tensor, size: tuple[int, int], margins: Margins) -> Tensor:
    """Convert matrices from pixels to up-pixels, the pixels of the upsampled image.

    The filters have an even length and shift the image by half an up-pixel, so the up-pixel v from
    the centre looks up q = A (v + 1/2) - 1/2, where A translates by twice as many up-pixels as
    pixels.

    Args:
        inverse: [N, 3, 3] in pixels.
        size: (height, width) of the image in pixels.
        margins: reflected pixels around it.

    Returns:
        [N, 2, 3] from (v + 1/2, 1) to q, in [-1, 1] from edge to edge of the padded image.
    """
    height, width = size
    dtype = inverse.dtype
    padded = [width + margins.left + margins.right, height + margins.top + margins.bottom]
    centre = torch.tensor([width + 2 * margins.left, height + 2 * margins.top], dtype=dtype)
    # The last row of a homogeneous matrix is (0, 0, 1) and not needed from here on.
    matrix = inverse[:, :2].clone()
    matrix[:, :, 2] = 2 * matrix[:, :, 2] - 0.5 + centre  # up-pixels from the upper left corner
    matrix /= torch.tensor(padded, dtype=dtype)[:, None]
    matrix[:, :, 2] -= 1
    return matrix


def sampling_grid(matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the grid for `sample_bilinear`.

    Args:
        matrix: [N, 2, 3] from `lookup_matrix`.
        size: (height, width) of the image in pixels.

    Returns:
        [N, 2H + 2 BORDER, 2W + 2 BORDER, 2].
    """
    # Sums instead of a matrix product, which would round the coordinates under TF32.
    y, x = (
        torch.arange(1 - side - BORDER, side + BORDER + 1, device=matrix.device) for side in size
    )
    along_x, along_y, offset = matrix[:, None, None].unbind(-1)
    return along_x * x[:, None] + along_y * y[:, None, None] + offset
