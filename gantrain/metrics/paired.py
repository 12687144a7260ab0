"""How near an image is to a known true one: L1, PSNR, SSIM. uint8 images, float64 arithmetic."""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11  # side of SSIM's window in pixels


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference in 8-bit levels: uint8 [N, C, H, W] twice -> [N] in [0, 255]."""
    return (x.double() - y.double()).abs().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio per image in dB: 10 log10(255^2 / MSE); equal images give inf."""
    mse = (x.double() - y.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(255.0**2 / mse)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity per image, at most 1 (Wang et al. 2004).

    The published settings: 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, range 255,
    windows inside the image only, mean over windows and channels.

    Raises ValueError for images smaller than the window.
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
    offsets = torch.arange(-5, 6, dtype=torch.float64)
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    line = line / line.sum()
    channels = x.shape[1]
    rows = F.conv2d(x, line.view(1, 1, 1, 11).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(rows, line.view(1, 1, 11, 1).repeat(channels, 1, 1, 1), groups=channels)
