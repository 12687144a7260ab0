"""Corruptions: additive noise and cutout (Karras et al. 2020, appendix B)."""

import torch
from torch import Tensor

from gantrain.augment.draw import RandomParameters, to_device_like


def noise_std(params: RandomParameters) -> Tensor:
    """Draw standard deviations of noise [n], float64: |N(0, 0.1)| if selected, else 0."""
    return params.select(params.half_normal(0.1), 0)


def add_noise(images: Tensor, std: Tensor) -> Tensor:
    """Add white Gaussian noise.

    The noise, unlike its strength, comes from the generator of the images' device, since it is as
    large as the images.

    Args:
        images: [N, C, H, W].
        std: [N], standard deviation of the noise in each image.
    """
    # `std` is on the CPU: asking it waits for no device.
    if not std.any():
        return images
    return images + torch.randn_like(images) * to_device_like(std, images).view(-1, 1, 1, 1)


def cutout_centre(params: RandomParameters) -> Tensor:
    """Draw centres of cutouts (x, y) in [0, 1), [n, 2] float64; (-1, -1) if not selected."""
    return params.select(params.uniform(2), -1)


def cut_out(images: Tensor, centre: Tensor) -> Tensor:
    """Set a box of half the width and half the height to 0, where it overlaps the image.

    Args:
        images: [N, C, H, W].
        centre: [N, 2] from `cutout_centre`: the box's centre in widths and heights from the upper
            left corner.
    """
    if (centre < 0).all():
        return images
    height, width = images.shape[2:]
    in_columns = _covered(centre[:, 0], width)[:, None, None, :]
    in_rows = _covered(centre[:, 1], height)[:, None, :, None]
    # A product instead of an assignment: differentiable, and the same for all images.
    return images * (1 - to_device_like(in_rows, images) * to_device_like(in_columns, images))


def _covered(centre: Tensor, pixels: int) -> Tensor:
    """Return whether pixel centres are less than a quarter from `centre` [N], [N, pixels]."""
    pixel_centres = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels
    return (pixel_centres - centre[:, None]).abs() < 0.25
