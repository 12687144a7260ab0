"""The equivariance metrics equal the reference's numbers, and know a turned image."""

from math import pi

import pytest
import torch

from gantrain.metrics import equivariance
from tests.helpers.golden_files import load

META, ARRAYS = load("equivariance")


def test_translation_by_whole_pixels() -> None:
    x = ARRAYS["x"]
    pixels = [round(t * 40) for t in META["t_int"]]
    reference, mask = equivariance.shift(x, *pixels)
    assert torch.equal(reference, ARRAYS["int/ref"])
    assert torch.equal(mask[0, 0].byte(), ARRAYS["int/mask"])
    found = equivariance.psnr([(reference, ARRAYS["int/img"], mask)])
    assert found == pytest.approx(float(ARRAYS["int/psnr"]), abs=1e-4)


def test_rotation() -> None:
    reference, mask = equivariance.rotate(ARRAYS["x"], META["angle"])
    torch.testing.assert_close(reference, ARRAYS["rot/ref"], rtol=0, atol=1e-5)
    assert torch.equal(mask[0, 0].byte(), ARRAYS["rot/ref_mask"])
    image, image_mask = equivariance.limit_band(ARRAYS["rot/img"], META["angle"])
    torch.testing.assert_close(image, ARRAYS["rot/pseudo"], rtol=0, atol=1e-5)
    assert torch.equal(image_mask[0, 0].byte(), ARRAYS["rot/pseudo_mask"])
    found = equivariance.psnr([(reference, image, mask * image_mask)])
    assert found == pytest.approx(float(ARRAYS["rot/psnr"]), abs=1e-4)


def smooth(side: int) -> torch.Tensor:
    """Waves well below what the pixels can hold, [1, 2, side, side]."""
    t = torch.arange(side) / side * 2 * pi
    x, y = t[None], t[:, None]
    waves = [torch.sin(2 * x + 0.3) * torch.cos(y), torch.cos(3 * x - 2 * y)]
    return torch.stack(waves)[None].double()


def test_a_quarter_turn_is_counterclockwise() -> None:
    x = smooth(64)
    turned, mask = equivariance.rotate(x, pi / 2)
    difference = (turned - torch.rot90(x, 1, (2, 3))) * mask
    assert mask.mean() > 0.6 and difference.abs().max() < 0.02
    assert ((turned - torch.rot90(x, -1, (2, 3))) * mask).abs().max() > 1


def test_a_band_limit_leaves_smooth_images_alone() -> None:
    x = smooth(64)
    limited, mask = equivariance.limit_band(x, 0.4)
    assert ((limited - x) * mask).abs().max() < 0.02


def test_moved_to_the_left_and_up() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    moved, mask = equivariance.shift(x, -1, -2)
    assert moved[0, 0].tolist() == [[9, 10, 11, 0], [0] * 4, [0] * 4]
    assert mask[0, 0].tolist() == [[1, 1, 1, 0], [0] * 4, [0] * 4]


def test_psnr_counts_pixels_under_the_mask() -> None:
    a, mask = torch.zeros(1, 3, 2, 2), torch.tensor([[1.0, 0.0], [0.0, 0.0]])[None, None]
    b = torch.full_like(a, 5.0)
    b[..., 0, 0] = 0.02
    assert equivariance.psnr([(a, b, mask), (a, b, mask)]) == pytest.approx(40, abs=1e-4)


def test_equal_images_have_a_finite_psnr() -> None:
    """Those of a collapsed generator; its evaluation must not end the training."""
    a, mask = torch.full((1, 3, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    assert equivariance.psnr([(a, a, mask)]) == 200
    assert equivariance.psnr([(a.double(), a.double() + 1e-13, mask)]) == 200
    assert equivariance.psnr([(a, a + torch.nan, mask)]) != 200
