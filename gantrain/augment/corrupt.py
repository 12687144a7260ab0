"""Corruptions: additive noise and cutout (Karras et al. 2020, appendix B)."""

import torch
from torch import Tensor

from gantrain.augment.draw import Parameter, RandomParameters


def noise_std(params: RandomParameters) -> Tensor:
    """Draw standard deviations of noise [n], float64: |N(0, 0.1)| if selected, else 0."""
    [(std,)] = params.draw([Parameter("half_normal", 0.1)])
    return std


def add_noise(images: Tensor, std: Tensor, noise: Tensor | None = None) -> Tensor:
    """Add white Gaussian noise.

    The noise, unlike its strength, comes from the generator of the images' device, since it is as
    large as the images.

    Args:
        images: [N, C, H, W].
        std: [N], standard deviation of the noise in each image.
        noise: standard normal, of the shape of the images; None: drawn here.
    """
    noise = torch.randn_like(images) if noise is None else noise
    return images + noise * std.view(-1, 1, 1, 1)


def cutout_centre(params: RandomParameters) -> Tensor:
    """Draw centres of cutouts (x, y) in [0, 1), [n, 2] float64; (-1, -1) if not selected."""
    [centre] = params.draw([Parameter("uniform", 1.0, width=2, neutral=-1.0)])
    return torch.stack(centre, dim=1)


def covered(centre: Tensor, size: tuple[int, int]) -> Tensor:
    """Return which rows and which columns a box of half the height and half the width covers.

    Args:
        centre: [N, 2] from `cutout_centre`: the box's centre in widths and heights from the upper
            left corner.
        size: (height, width) in pixels.

    Returns:
        [N, H + W] of 0 and 1, float64: the rows, then the columns.
    """
    height, width = size
    boxes = [_near(centre[:, 1], height), _near(centre[:, 0], width)]
    return torch.cat(boxes, dim=1).double()


def cut_out(images: Tensor, box: Tensor) -> Tensor:
    """Set the pixels to 0 whose row and column are covered.

    Args:
        images: [N, C, H, W].
        box: [N, H + W] from `covered`.
    """
    height, width = images.shape[2:]
    in_rows, in_columns = box[:, None, :, None].split([height, width], dim=2)
    # A product instead of an assignment: differentiable, and the same for all images.
    return images * (1 - in_rows * in_columns.mT)


def _near(centre: Tensor, pixels: int) -> Tensor:
    """Return whether pixel centres are less than a quarter from `centre` [N], [N, pixels]."""
    pixel_centres = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels
    return (pixel_centres - centre[:, None]).abs() < 0.25
