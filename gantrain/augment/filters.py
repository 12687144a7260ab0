"""Random amplification of frequency bands (Karras et al. 2020, appendix B)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.augment.draw import Parameter, RandomParameters
from gantrain.ops.constants import made_once
from gantrain.ops.reflect import reflect_indices

_SYM2 = (-0.1294095225512604, 0.2241438680420134, 0.8365163037378079, 0.4829629131445341)
# Expected share of the power of natural images in each band, as in the paper.
_POWER = torch.tensor([10.0, 1.0, 1.0, 1.0], dtype=torch.float64) / 13
TAPS = 43
_STILL = F.one_hot(torch.tensor(TAPS // 2), TAPS).double()  # the filter that changes nothing


@made_once
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
    drawn = params.draw([Parameter("normal", 1.0)] * 4)
    factors = torch.stack([torch.exp2(row) for (row,) in drawn])
    # sum_j power_j t_j^2 with t = 1 in the other three bands
    roots = torch.sqrt(1 + _POWER[:, None] * (factors.square() - 1))
    gains = torch.ones_like(factors)
    for band in range(4):
        gains[band] *= factors[band]
        gains /= roots[band]
    return gains.T.contiguous()


def band_taps(gains: Tensor) -> Tensor:
    """Return the weighted sum of the bands, [N, 43]; one tap of 1 for an image without gains.

    Args:
        gains: [N, 4] from `band_gains`.
    """
    # The bands add up to the identity only up to rounding.
    is_still = (gains == 1).all(1, keepdim=True)
    return torch.where(is_still, _STILL, gains @ filter_bank())


def amplify(images: Tensor, taps: Tensor) -> Tensor:
    """Filter rows and columns of each image with its own taps.

    Computed as two matrix products that include the reflection at the borders: faster than 43-tap
    convolutions, above all in the second derivative.

    Args:
        images: [N, C, H, W].
        taps: [N, 43] from `band_taps`.

    Returns:
        [N, C, H, W].
    """
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
