"""Random amplification of frequency bands (Karras et al. 2020, appendix B)."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.augment.draw import RandomParameters, to_device_like
from gantrain.ops.reflect import reflect_indices

_SYM2 = (-0.1294095225512604, 0.2241438680420134, 0.8365163037378079, 0.4829629131445341)
# Expected share of the power of natural images in each band, as in the paper.
_POWER = torch.tensor([10.0, 1.0, 1.0, 1.0], dtype=torch.float64) / 13


@cache
@torch.inference_mode(False)  # a cached tensor outlives the mode of its first caller
def filter_bank() -> Tensor:
    """Return the filters of four bands: 0 to 1/8 of the Nyquist frequency, to 1/4, to 1/2, to 1.

    With the sym2 wavelet's low-pass H, P(z) = H(z) H(1/z) / 2 and Q(z) = P(-z) are symmetric and
    have the sum 1. Splitting the lowest band three times gives P(z) P(z^2) P(z^4),
    P(z) P(z^2) Q(z^4), P(z) Q(z^2) and Q(z), whose sum is 1 as well.

    Returns:
        [4, 43] float64 taps, each filter centred; treat it as a constant.
    """
    h = torch.tensor(_SYM2, dtype=torch.float64)
    low = _convolve(h, h.flip(0)) / 2  # at -3 ... 3
    signs = torch.tensor([-1.0, 1, -1, 1, -1, 1, -1], dtype=torch.float64)
    high = low * signs
    lowest, bands = torch.ones(1, dtype=torch.float64), []
    for spacing in (1, 2, 4):
        bands.append(_convolve(lowest, _dilate(high, spacing)))
        lowest = _convolve(lowest, _dilate(low, spacing))
    bands.append(lowest)
    centred = []
    for band in bands:
        padding = (len(lowest) - len(band)) // 2  # the lowest band has the longest filter
        centred.append(F.pad(band, (padding, padding)))
    return torch.stack(centred[::-1])


def band_gains(params: RandomParameters) -> Tensor:
    """Draw gains: each band in turn is amplified by 2^N(0, 1), then the expected power restored.

    Returns:
        [n, 4] float64; exactly 1 for an image without a selected band.
    """
    gains = torch.ones(params.n, 4, dtype=torch.float64)
    for band in range(4):
        factor = params.select(torch.exp2(params.normal(1.0)), 1)
        # sum_j power_j t_j^2 with t = 1 in the other three bands
        power = 1 + _POWER[band] * (factor.square() - 1)
        gains[:, band] *= factor
        gains /= power.sqrt()[:, None]
    return gains


def amplify(images: Tensor, gains: Tensor) -> Tensor:
    """Filter rows and columns of each image with its own weighted sum of the bands.

    Computed as two matrix products that include the reflection at the borders: faster than 43-tap
    convolutions, above all in the second derivative.

    Args:
        images: [N, C, H, W].
        gains: [N, 4] from `band_gains`.

    Returns:
        [N, C, H, W].
    """
    if (gains == 1).all():
        return images
    taps = to_device_like(gains @ filter_bank(), images)
    over_rows = filter_matrix(taps, images.shape[2])[:, None]
    over_columns = filter_matrix(taps, images.shape[3])[:, None]
    return over_rows @ images @ over_columns.mT


def filter_matrix(taps: Tensor, size: int) -> Tensor:
    """Return matrices that filter a line of pixels, reflected at its ends.

    Args:
        taps: symmetric filters [N, k].
        size: pixels of the line.

    Returns:
        [N, size, size].
    """
    n, k = taps.shape
    line = torch.arange(size, device=taps.device)[:, None]
    offsets = torch.arange(k, device=taps.device) - k // 2
    sources = reflect_indices(line + offsets, size).expand(n, -1, -1)
    matrix = taps.new_zeros(n, size, size)
    # Several taps can fall on the same pixel, hence the addition.
    return matrix.scatter_add_(2, sources, taps[:, None].expand(-1, size, -1))


def _convolve(a: Tensor, b: Tensor) -> Tensor:
    k = len(b)
    return F.conv1d(a[None, None], b.flip(0)[None, None], padding=k - 1)[0, 0]


def _dilate(taps: Tensor, spacing: int) -> Tensor:
    """Insert zeros between the taps: f(z) -> f(z^spacing)."""
    dilated = taps.new_zeros((len(taps) - 1) * spacing + 1)
    dilated[::spacing] = taps
    return dilated
