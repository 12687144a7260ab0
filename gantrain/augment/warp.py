"""Apply all geometric transforms in one resampling.

Upsampling by 2, bilinear look-up, downsampling (Karras et al. 2020, arXiv 2006.06676, appendix B).
"""

from math import ceil

import torch
from torch import Tensor

from gantrain.augment.bilinear import sample_bilinear
from gantrain.augment.draw import to_device_like
from gantrain.augment.wavelet import BORDER, REACH, Margins, downsample_2x, upsample_2x

STEPS = 4  # the widest margins in as many steps


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Warp images one by one: an identity costs nothing, and each gets the margins it needs.

    An image is continued by one reflection on each side and is 0 beyond.

    Args:
        images: [N, C, H, W].
        inverse: [N, 3, 3] float64 on the CPU, from `gantrain.augment.geometry.inverse_matrix`.

    Returns:
        [N, C, H, W], differentiable in `images` any number of times.
    """
    is_warped = warped(inverse).tolist()
    if not any(is_warped):
        return images
    size = (images.shape[2], images.shape[3])
    results = []
    for x, matrix, moved in zip(images.split(1), inverse.split(1), is_warped, strict=True):
        if moved:
            margins = required_margins(matrix, size)
            x = _resample(x, to_device_like(lookup_matrix(matrix, size, margins), x), margins)
        results.append(x)
    return torch.cat(results)


def warp_batch(images: Tensor, matrix: Tensor, is_warped: Tensor, step: int) -> Tensor:
    """Warp all images at once: one by one, an accelerator would mostly wait for launches.

    Asks for no value, so it can be traced, and it takes few shapes: one for each step.

    Args:
        images: [N, C, H, W].
        matrix: [N, 2, 3] from `up_pixel_matrix`, in the dtype and on the device of the images.
        is_warped: [N] booleans; the other images stay as they are, bit for bit.
        step: at least `margin_step` of the matrices.

    Returns:
        [N, C, H, W], differentiable in `images` any number of times.
    """
    if step == 0:
        return images
    height, width = images.shape[2:]
    margins = step_margins(step, (height, width))
    padded = (width + 2 * margins.left, height + 2 * margins.top)
    # To [-1, 1] from edge to edge: margins are symmetric here, so the centre stays at 0.
    rows = zip(matrix.unbind(1), padded, strict=True)
    lookup = torch.stack([row / side for row, side in rows], dim=1)
    return torch.where(is_warped.view(-1, 1, 1, 1), _resample(images, lookup, margins), images)


def warped(inverse: Tensor) -> Tensor:
    """Return which matrices [N, 3, 3] are not the identity, [N] booleans."""
    return (inverse != torch.eye(3, dtype=inverse.dtype)).flatten(1).any(1)


def margin_step(inverse: Tensor, size: tuple[int, int]) -> int:
    """Return the smallest step of margins that is enough; 0: no image is warped.

    Args:
        inverse: [N, 3, 3] on the CPU.
        size: (height, width) in pixels.
    """
    if not warped(inverse).any():
        return 0
    needed = required_margins(inverse, size)
    for step in range(1, STEPS):
        if all(a >= b for a, b in zip(step_margins(step, size), needed, strict=True)):
            return step
    return STEPS


def step_margins(step: int, size: tuple[int, int]) -> Margins:
    """Return symmetric margins: `step` / STEPS of the widest ones, on both axes.

    Few shapes occur: an accelerator tunes itself to each of them and captures a graph for each.

    Args:
        step: 1 to STEPS.
        size: (height, width) in pixels.
    """
    vertical, horizontal = (ceil((side - 1) * step / STEPS) for side in size)
    return Margins(left=horizontal, right=horizontal, top=vertical, bottom=vertical)


def required_margins(inverse: Tensor, size: tuple[int, int]) -> Margins:
    """Return how far the corners land outside the image, plus the reach of the filters.

    Args:
        inverse: [N, 3, 3]; the margins are enough for all N.
        size: (height, width) in pixels.

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
        # Twice: the upsampling and the downsampling each read that much more. One reflection
        # reaches no further than the size - 1; an image that fits needs no margin.
        return min(max(ceil(overshoot + 2 * REACH), 0), limit)

    return Margins(
        left=margin(-low[0] - x, width - 1),
        right=margin(high[0] - x, width - 1),
        top=margin(-low[1] - y, height - 1),
        bottom=margin(high[1] - y, height - 1),
    )


def _resample(images: Tensor, lookup: Tensor, margins: Margins) -> Tensor:
    grid = sampling_grid(lookup, (images.shape[2], images.shape[3]))
    return downsample_2x(sample_bilinear(upsample_2x(images, margins), grid))


def up_pixel_matrix(inverse: Tensor) -> Tensor:
    """Convert matrices from pixels to up-pixels, the pixels of the upsampled image.

    The filters have an even length and shift the image by half an up-pixel, so the up-pixel v from
    the centre looks up q = A (v + 1/2) - 1/2, where A translates by twice as many up-pixels as
    pixels.

    Args:
        inverse: [N, 3, 3] in pixels.

    Returns:
        [N, 2, 3] from (v + 1/2, 1) to q.
    """
    # The last row of a homogeneous matrix is (0, 0, 1) and not needed from here on.
    matrix = inverse[:, :2].clone()
    matrix[:, :, 2] = 2 * matrix[:, :, 2] - 0.5
    return matrix


def lookup_matrix(inverse: Tensor, size: tuple[int, int], margins: Margins) -> Tensor:
    """Return `up_pixel_matrix` in the coordinates of `sample_bilinear`.

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
    matrix = up_pixel_matrix(inverse)
    matrix[:, :, 2] += centre  # up-pixels from the upper left corner
    matrix /= torch.tensor(padded, dtype=dtype)[:, None]
    matrix[:, :, 2] -= 1
    return matrix


def sampling_grid(matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the grid for `sample_bilinear`.

    Args:
        matrix: [N, 2, 3], in [-1, 1] from edge to edge of the padded image.
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
