"""Distances between an image and its ground truth: L1, PSNR, SSIM.

Images are uint8, arithmetic is float64.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.metrics.requirements import LEAST_SIDES

WINDOW = LEAST_SIDES["ssim"]  # its side in pixels


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean absolute difference of images [N, C, H, W] in 8-bit levels, [N]."""
    return (x.double() - y.double()).abs().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of images [N, C, H, W] in dB, [N].

    10 log10(255^2 / MSE), inf for equal images.
    """
    mse = (x.double() - y.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(255.0**2 / mse)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the structural similarity of images [N, C, H, W], [N], at most 1 (Wang et al. 2004).

    The published settings: 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, range 255,
    windows inside the image only, mean over windows and channels.

    Raises:
        ValueError: the images are smaller than the window.
    """
    if min(x.shape[-2:]) < WINDOW:
        raise ValueError(
            f"SSIM needs at least {WINDOW}x{WINDOW} pixels, not {tuple(x.shape[-2:])}."
        )
    x, y = x.double(), y.double()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x.square()
    var_y = _blur(y * y) - mean_y.square()
    cov = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return (luminance * structure).flatten(1).mean(1)


def _blur(x: Tensor) -> Tensor:
    """Average over SSIM's Gaussian window, as two passes of its 1-D kernel."""
    offsets = torch.arange(-5, 6, dtype=torch.float64)
    kernel = torch.exp(-offsets.square() / (2 * 1.5**2))
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    rows = F.conv2d(x, kernel.view(1, 1, 1, 11).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, 11, 1).repeat(channels, 1, 1, 1), groups=channels)
