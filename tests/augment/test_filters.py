"""Amplified frequency bands."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.augment.draw import RandomParameters
from gantrain.augment.filters import amplify, band_gains, band_taps, filter_bank

N = 20_000
POWER = torch.tensor([10, 1, 1, 1], dtype=torch.float64) / 13


def response(taps: Tensor, frequency: Tensor) -> Tensor:
    """Of a centred symmetric filter at angular frequencies, in radians per pixel."""
    k = torch.arange(len(taps)) - len(taps) // 2
    return (frequency[:, None] * k).cos() @ taps


def low(frequency: Tensor) -> Tensor:
    """Daubechies' half-band filter with two vanishing moments, of which sym2 is a square root."""
    c, s = (frequency / 2).cos().square(), (frequency / 2).sin().square()
    return c.square() * (1 + 2 * s)


def test_the_bands_are_symmetric_and_add_up_to_nothing_but_the_pixel() -> None:
    bank = filter_bank()
    delta = torch.zeros(43, dtype=torch.float64)
    delta[21] = 1
    torch.testing.assert_close(bank.sum(0), delta)
    torch.testing.assert_close(bank, bank.flip(1))


def test_the_bands_are_three_levels_of_a_wavelet() -> None:
    w = torch.linspace(0, math.pi, 50, dtype=torch.float64)
    expected = [
        low(w) * low(2 * w) * low(4 * w),
        low(w) * low(2 * w) * (1 - low(4 * w)),
        low(w) * (1 - low(2 * w)),
        1 - low(w),
    ]
    for band, values in zip(filter_bank(), expected, strict=True):
        torch.testing.assert_close(response(band, w), values, atol=1e-9, rtol=0)


def test_each_band_passes_its_own_octave() -> None:
    inside = torch.tensor([0, 3 / 16, 3 / 8, 1], dtype=torch.float64) * math.pi  # edges 1/8 1/4 1/2
    responses = torch.stack([response(band, inside) for band in filter_bank()])
    assert (responses.diagonal() > 0.7).all()
    assert (responses - responses.diag().diag()).abs().max() < 0.25


def test_expected_power_is_kept() -> None:
    """After each amplification sum_j power_j t_j^2 = 1; here only one band was selected."""
    gains = band_gains(RandomParameters(N, 0.1))
    once = (gains != 1).any(1) & ((gains / gains.roll(1, 1) != 1).sum(1) <= 2)
    assert once.any() and not once.all()
    power = gains[once].square() @ POWER
    torch.testing.assert_close(power, torch.ones_like(power))


def test_bands_are_selected_one_by_one_and_amplified_lognormally() -> None:
    untouched = (band_gains(RandomParameters(N, 0.3)) == 1).all(1).double().mean()
    assert untouched == pytest.approx(0.7**4, abs=0.016)
    log2 = band_gains(RandomParameters(N, 1)).log2()
    # The common factor of the normalization drops out between two bands of equal power.
    ratio = log2[:, 3] - log2[:, 1]
    assert torch.equal(band_gains(RandomParameters(3, 0)), torch.ones(3, 4, dtype=torch.float64))
    assert abs(ratio.mean()) < 0.06 and ratio.std() == pytest.approx(2**0.5, rel=0.03)


@pytest.mark.parametrize("size", [(32, 40), (23, 50)])
def test_filtering_is_a_separable_convolution_with_reflection(
    size: tuple[int, int],
) -> None:
    images, gains = (
        torch.randn(3, 2, *size, dtype=torch.float64),
        band_gains(RandomParameters(3, 1)),
    )
    padded = F.pad(images, (21,) * 4, mode="reflect")
    taps = gains @ filter_bank()
    kernels = torch.einsum("ni,nj->nij", taps, taps)[:, None, None]
    expected = [F.conv2d(x[:, None], k) for x, k in zip(padded, kernels, strict=True)]
    torch.testing.assert_close(amplify(images, band_taps(gains)), torch.stack(expected)[:, :, 0])


def test_images_smaller_than_the_filter_are_reflected_several_times() -> None:
    images, gains = (
        torch.randn(1, 1, 9, 12, dtype=torch.float64),
        band_gains(RandomParameters(1, 1)),
    )
    tall = torch.cat([images, images.flip(2)[:, :, 1:-1]], dim=2)  # one period
    wide = torch.cat([tall, tall.flip(3)[..., 1:-1]], dim=3)
    kernel = torch.outer(*(2 * [(gains @ filter_bank())[0]]))
    expected = F.conv2d(F.pad(wide.tile(5, 5)[..., 11:, 1:], (0, 0)), kernel[None, None])
    # Pixel (0, 0) of the image stands at (16 n, 22 n) of the tiles and 21 further in the kernel.
    row, column = (-(11 + 21)) % 16, (-(1 + 21)) % 22
    got = amplify(images, band_taps(gains))
    torch.testing.assert_close(got, expected[..., row : row + 9, column : column + 12])


def test_no_amplification_is_the_identity() -> None:
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    ones = torch.ones(2, 4, dtype=torch.float64)
    assert torch.equal(amplify(images, band_taps(ones)), images)
    ones[1] += 1e-15
    almost = amplify(images, band_taps(ones))
    assert torch.equal(almost[0], images[0]) and not torch.equal(almost[1], images[1])
    torch.testing.assert_close(almost, images)


def test_an_equal_gain_of_all_bands_acts_on_both_axes() -> None:
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    twice = torch.full((1, 4), 2.0, dtype=torch.float64)
    torch.testing.assert_close(amplify(images, band_taps(twice)), 4 * images)
