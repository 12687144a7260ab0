"""Perceptual path length (Karras et al. 2019, 2020): how much a short step changes pictures."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-4
_LOW, _HIGH = 0.01, 0.99  # shares of the distances that are left out at either end
_LARGEST = 256  # pixels: larger pictures are shrunk by averaging, as VGG was trained


def path_length(
    pairs: Iterator[tuple[Tensor, Tensor]], distance: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Mean LPIPS / EPSILON^2 of pictures EPSILON apart in w, without the outermost percents.

    Args:
        pairs: float [N, C, H, W] about [-1, 1] twice, from `ends`' latents; not rounded to 8 bits,
            which would hide the step.
        distance: LPIPS of [N, 3, H, W].
    """
    found = torch.cat([distance(_seen(x), _seen(y)).double() for x, y in pairs]) / EPSILON**2
    low, high = torch.quantile(found, torch.tensor([_LOW, _HIGH], dtype=torch.float64))
    return float(found[(found >= low) & (found <= high)].mean())


def ends(w0: Tensor) -> tuple[Tensor, Tensor]:
    """[2N, ...] latents w -> the beginning of N paths, and the points EPSILON further on.

    At the beginning of paths ("end" sampling), linear in w: PPL2, which StyleGAN2 reports.
    """
    first, second = w0.chunk(2)
    return first, torch.lerp(first, second, EPSILON)


def _seen(x: Tensor) -> Tensor:
    factor = max(x.shape[2], x.shape[3]) // _LARGEST
    if factor > 1:
        x = F.avg_pool2d(x, factor)
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x[:, :3]
