"""EQ-T and EQ-R: do images move and turn when the generator's input does (Karras et al. 2021)?

Appendix E of "Alias-free generative adversarial networks" (arXiv 2106.12423). Positions are (x, y),
x to the right and y down. The filters are those that a perfect generator would have to agree with:
band-limited to the intersection of the square spectra before and after the rotation.
"""

from collections.abc import Iterable
from math import cos, log10, sin

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_TRANSLATION = 0.125  # of the image's side, for EQ-T
_MAX_PSNR = 200.0  # dB, beyond float32's rounding; equal images have inf, which JSON cannot hold
LOBES = 3  # a, of the Lanczos window
REACH = 2 * LOBES  # of a filter, in pixels: the product of two such windows
_EXTENT = 64  # pixels in which the infinite sinc is represented
_UP = 4  # oversampling of the rotated image, which is then sampled bilinearly

Masked = tuple[Tensor, Tensor]


def psnr(pairs: Iterable[tuple[Tensor, Tensor, Tensor]]) -> float:
    """Return 10 log10(2^2 / mean squared difference) in dB over all pixels of all images.

    At most 200: constant images of a collapsed generator do not differ at all.

    Args:
        pairs: (reference, image, mask), [N, C, H, W] about [-1, 1] each; the mask is 1 where a
            pixel counts, and broadcasts.
    """
    error = count = 0.0
    for reference, image, mask in pairs:
        mask = mask.double().expand_as(image)
        error += float(((reference.double() - image.double()).square() * mask).sum())
        count += float(mask.sum())
    if error == 0:
        return _MAX_PSNR
    return min(20 * log10(2) - 10 * log10(error / count), _MAX_PSNR)


def shift(image: Tensor, x: int, y: int) -> Masked:
    """Return an image moved by (x, y) whole pixels, and where it is defined.

    Args:
        image: [N, C, H, W].
        x: pixels to the right.
        y: pixels down.

    Returns:
        The image, 0 where undefined, and the mask [1, 1, H, W].
    """
    h, w = image.shape[2:]
    moved = F.pad(image, (x, -x, y, -y))  # negative: cropped
    mask = F.pad(image.new_ones(1, 1, h, w), (x, -x, y, -y))
    return moved, mask


def rotate(image: Tensor, angle: float) -> Masked:
    """Return an image turned counterclockwise, and where it is defined.

    Upsampled by 4 with a filter that leaves only what a pixel grid can hold both before and after
    the rotation, then sampled bilinearly.

    Args:
        image: [N, C, H, W].
        angle: in radians.

    Returns:
        The image and the mask [1, 1, H, W].
    """
    h, w = image.shape[2:]
    kernel = rotation_filter(angle, _UP).to(image) * _UP**2
    channels, margin = image.shape[1], (len(kernel) - 1) // 2
    weight = kernel.expand(channels, 1, *kernel.shape)
    # The result has `margin` samples beyond each side of the image.
    large = F.conv_transpose2d(image, weight, stride=_UP, groups=channels)
    large = F.pad(large, (2, 1, 2, 1))
    # affine_grid wants the inverse map, in units of half the (larger) image.
    c, s = cos(angle), sin(angle)
    theta = torch.tensor(
        [[c, -s, 1 / (_UP * w)], [s, c, 1 / (_UP * h)]], dtype=image.dtype, device=image.device
    )
    size = torch.tensor([w, h], dtype=image.dtype, device=image.device)
    theta = theta * (size / (size + 2 * margin / _UP))[:, None]
    grid = F.affine_grid(theta[None], [1, 1, h, w], align_corners=False)
    border = 2 * margin + 1
    inside = large.new_ones(1, 1, *(n - 2 * border for n in large.shape[2:]))
    inside = F.pad(inside, (border,) * 4)
    mask = F.grid_sample(inside, grid, mode="nearest", align_corners=False)
    grid = grid.expand(len(image), -1, -1, -1)
    return F.grid_sample(large, grid, mode="bilinear", align_corners=False), mask


def limit_band(image: Tensor, angle: float) -> Masked:
    """Return an image with the band limit of one turned by `angle`, but not turned.

    Args:
        image: [N, C, H, W].
        angle: in radians.

    Returns:
        The image and the mask [1, 1, H, W] of what its border does not reach.
    """
    kernel = rotation_filter(-angle, 1).to(image)
    channels, border = image.shape[1], (len(kernel) - 1) // 2
    weight = kernel.flip(0, 1).expand(channels, 1, *kernel.shape)  # conv2d correlates
    limited = F.conv2d(image, weight, padding=border, groups=channels)
    h, w = image.shape[2:]
    inside = image.new_ones(1, 1, h - 2 * border, w - 2 * border)
    return limited, F.pad(inside, (border,) * 4)


def rotation_filter(angle: float, up: int) -> Tensor:
    """Return the low-pass filter whose spectrum is that of a square and of the turned square.

    Args:
        angle: counterclockwise, in radians.
        up: samples per pixel.

    Returns:
        float64 [2 * REACH * up - 1, 2 * REACH * up - 1].
    """
    steps = _EXTENT * up
    t = torch.arange(1 - steps, steps, dtype=torch.float64) / up
    y, x = torch.meshgrid(t, t, indexing="ij")
    c, s = cos(angle), sin(angle)
    turned_x, turned_y = c * x + s * y, c * y - s * x
    # The product of two spectra is the convolution of two filters; the same for their windows.
    ideal = _convolve(torch.sinc(x) * torch.sinc(y), torch.sinc(turned_x) * torch.sinc(turned_y))
    window = _convolve(_lobe(x) * _lobe(y), _lobe(turned_x) * _lobe(turned_y))
    kept = slice(steps - REACH * up, steps + REACH * up - 1)
    kernel = (ideal * window)[kept, kept]
    # Every phase of the upsampling keeps the brightness.
    kernel = F.pad(kernel, (0, 1, 0, 1)).unflatten(0, (-1, up)).unflatten(2, (-1, up))
    kernel = kernel / kernel.sum((0, 2), keepdim=True) / up**2
    return kernel.flatten(2, 3).flatten(0, 1)[:-1, :-1]


def _lobe(t: Tensor) -> Tensor:
    return torch.sinc(t / LOBES) * (t.abs() < LOBES)


def _convolve(a: Tensor, b: Tensor) -> Tensor:
    """Convolve two square arrays circularly, with the origin in their centres."""
    product = torch.fft.rfft2(torch.fft.ifftshift(a)) * torch.fft.rfft2(torch.fft.ifftshift(b))
    return torch.fft.fftshift(torch.fft.irfft2(product, s=a.shape))
