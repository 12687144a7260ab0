"""Corruptions: noise and a missing part (Karras et al. 2020, appendix B)."""

import torch
from torch import Tensor

from gantrain.augment.draw import RandomParameters, to_device_like


def noise_std(draw: RandomParameters) -> Tensor:
    """[n] float64: |N(0, 0.1)| where selected, else 0."""
    return draw.select(draw.half_normal(0.1), 0)


def add_noise(images: Tensor, std: Tensor) -> Tensor:
    """Add white Gaussian noise.

    The noise itself, unlike its strength, comes from the generator of the images' device: it is as
    large as the images.

    Args:
        images: [N, C, H, W].
        std: [N], of the noise in each image.
    """
    if not std.any():
        return images
    return images + torch.randn_like(images) * to_device_like(std, images).view(-1, 1, 1, 1)


def cutout_centre(draw: RandomParameters) -> Tensor:
    """[n, 2] float64: x and y of the missing part in [0, 1); where not selected, far outside."""
    return draw.select(draw.uniform(2), -1)


def cut_out(images: Tensor, centre: Tensor) -> Tensor:
    """Set a box of half the width and half the height to 0, as far as it lies in the image.

    Args:
        images: [N, C, H, W].
        centre: [N, 2] from `cutout_centre`, in widths and heights from the upper left corner.
    """
    if (centre < 0).all():
        return images
    height, width = images.shape[2:]
    in_columns = _covered(centre[:, 0], width)[:, None, None, :]
    in_rows = _covered(centre[:, 1], height)[:, None, :, None]
    return images * (1 - to_device_like(in_rows, images) * to_device_like(in_columns, images))


def _covered(centre: Tensor, pixels: int) -> Tensor:
    """[N] -> [N, pixels]: whether a pixel's middle is less than a quarter away from the centre."""
    middles = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels
    return (middles - centre[:, None]).abs() < 0.25
