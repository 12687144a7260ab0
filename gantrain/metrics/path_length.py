"""Perceptual path length (Karras et al. 2019, 2020): how much a short step in w changes images."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-4
_LOW, _HIGH = 0.01, 0.99  # quantiles outside which distances are left out
_LARGEST = 256  # pixels: larger images are downsampled towards the size VGG was trained on


def path_length(
    pairs: Iterator[tuple[Tensor, Tensor]], distance: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Return the mean of LPIPS / EPSILON^2 between images EPSILON apart in w.

    The lowest and the highest percent of the distances are left out.

    Args:
        pairs: images of `path_endpoints`' latents, each float [N, C, H, W] about [-1, 1]; not
            rounded to 8 bits, which would hide the step.
        distance: LPIPS, two batches [N, 3, H, W] -> [N].
    """
    distances = [distance(_for_vgg(x), _for_vgg(y)).double() for x, y in pairs]
    lengths = torch.cat(distances) / EPSILON**2
    low, high = torch.quantile(lengths, torch.tensor([_LOW, _HIGH], dtype=torch.float64))
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


def path_endpoints(w: Tensor) -> tuple[Tensor, Tensor]:
    """Return the starts of N paths in w, and the points EPSILON of the way along them.

    Steps begin at the ends of paths only ("end" sampling) and are linear in w: StyleGAN2's PPL.

    Args:
        w: [2N, ...]; path i leads from w[i] to w[N + i].
    """
    start, end = w.chunk(2)
    return start, torch.lerp(start, end, EPSILON)


def _for_vgg(x: Tensor) -> Tensor:
    """Downsample large images by averaging; return 3 channels."""
    factor = max(x.shape[2], x.shape[3]) // _LARGEST
    if factor > 1:
        x = F.avg_pool2d(x, factor)
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x[:, :3]
