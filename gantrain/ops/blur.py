"""Gaussian blur with zeros around the image."""

import torch
import torch.nn.functional as F
from torch import Tensor


def blur_taps(sigma: float, radius: int) -> Tensor:
    """Return the taps 2^(-(i / sigma)^2) of a blur, i = -radius..radius, with sum 1.

    Taps beyond 3 sigma are 0, so that a larger radius changes nothing.

    Args:
        sigma: distance in pixels at which the filter has half its height; at least 1/3.
        radius: half the length of the filter.

    Returns:
        float64 [2 * radius + 1].
    """
    i = torch.arange(-radius, radius + 1, dtype=torch.float64)
    taps = torch.exp2(-((i / sigma) ** 2)) * (i.abs() <= int(3 * sigma))
    return taps / taps.sum()


def blur(images: Tensor, taps: Tensor) -> Tensor:
    """Blur along both axes, outside autocast; differentiable any number of times.

    Args:
        images: [N, C, H, W]; there are zeros beyond their border.
        taps: [k], k odd.

    Returns:
        [N, C, H, W].
    """
    channels, k = images.shape[1], len(taps)
    line = taps.to(images.dtype).expand(channels, 1, 1, k)
    images = F.conv2d(images, line, padding=(0, k // 2), groups=channels)
    return F.conv2d(images, line.transpose(2, 3), padding=(k // 2, 0), groups=channels)
