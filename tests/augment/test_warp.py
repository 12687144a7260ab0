"""The warp against a plain restatement of it in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.augment import warp as module
from gantrain.augment import wavelet
from gantrain.augment.draw import RandomParameters
from gantrain.augment.geometry import inverse_matrix
from gantrain.augment.pipe import AugmentPipe
from gantrain.augment.warp import (
    STEPS,
    margin_step,
    required_margins,
    step_margins,
    up_pixel_matrix,
    warp,
    warp_batch,
    warped,
)
from gantrain.augment.wavelet import SYM6 as TAPS

SYM6 = torch.tensor(TAPS, dtype=torch.float64)
ALL = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
SIZES = [(16, 16), (12, 20), (33, 18)]


def plain_double(image: Tensor) -> Tensor:
    """Insert zeros behind every pixel, pad by 6 and 5, convolve with the outer product, times 4."""
    c, h, w = image.shape
    zeros = image.new_zeros(c, 2 * h, 2 * w)
    zeros[:, ::2, ::2] = image
    kernel = torch.outer(SYM6, SYM6).flip(0, 1)[None, None] * 4
    return F.conv2d(F.pad(zeros, (6, 5, 6, 5))[:, None], kernel)[:, 0]


def plain_halve(x: Tensor) -> Tensor:
    """Pad by 5 and 5, convolve with the reversed filter, keep every second, crop 6 pixels."""
    kernel = torch.outer(SYM6, SYM6)[None, None]
    return F.conv2d(F.pad(x, (5, 5, 5, 5))[:, None], kernel)[:, 0, ::2, ::2][:, 6:-6, 6:-6]


def at(image: Tensor, x: float, y: float) -> Tensor:
    """[C]: bilinear between the four neighbours, zero outside."""
    c, h, w = image.shape
    left, top, result = math.floor(x), math.floor(y), image.new_zeros(c)
    for i, j in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        if 0 <= i < w and 0 <= j < h:
            result += (1 - abs(x - i)) * (1 - abs(y - j)) * image[:, j, i]
    return result


def plain_warp(image: Tensor, inverse: Tensor) -> Tensor:
    """[C, H, W] with the widest margins, pixel by pixel."""
    c, h, w = image.shape
    up = plain_double(F.pad(image, (w - 1, w - 1, h - 1, h - 1), mode="reflect"))
    warped = image.new_zeros(c, 2 * (h + 12), 2 * (w + 12))
    (a, b, dx), (d, e, dy), _ = inverse.tolist()
    for row in range(warped.shape[1]):
        for column in range(warped.shape[2]):
            vx, vy = column + 0.5 - (w + 12) + 0.5, row + 0.5 - (h + 12) + 0.5
            x, y = a * vx + b * vy + 2 * dx - 0.5, d * vx + e * vy + 2 * dy - 0.5
            # From the centre of the padded image to its pixels, whose middles lie at 1/2.
            warped[:, row, column] = at(up, x + up.shape[2] / 2 - 0.5, y + up.shape[1] / 2 - 0.5)
    return plain_halve(warped)


def some(size: tuple[int, int], n: int = 2) -> tuple[Tensor, Tensor]:
    """Images and random matrices."""
    images = torch.randn(n, 2, *size, dtype=torch.float64)
    return images, inverse_matrix(ALL, RandomParameters(n, 0.9), size)


@pytest.mark.parametrize("size", SIZES)
def test_warp_is_the_plain_one(size: tuple[int, int]) -> None:
    images, inverse = some(size)
    expected = torch.stack([plain_warp(x, m) for x, m in zip(images, inverse, strict=True)])
    torch.testing.assert_close(warp(images, inverse), expected, atol=1e-9, rtol=0)


def at_once(images: Tensor, inverse: Tensor, step: int) -> Tensor:
    return warp_batch(images, up_pixel_matrix(inverse), warped(inverse), step)


@pytest.mark.parametrize("size", SIZES)
def test_the_way_of_the_accelerators_is_the_same(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters, the whole batch at once, symmetric margins."""
    images, inverse = some(size, 4)
    expected = warp(images, inverse)
    monkeypatch.setattr(module, "upsample_2x", wavelet.upsample_2x_by_filter)
    monkeypatch.setattr(module, "downsample_2x", wavelet.downsample_2x_by_filter)
    got = at_once(images, inverse, margin_step(inverse, size))
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=0)


def test_an_identity_would_change_nothing_and_is_not_computed() -> None:
    images, inverse = some((16, 20), 3)
    inverse[1] = torch.eye(3)
    assert warped(inverse).tolist() == [True, False, True]
    for result in (warp(images, inverse), at_once(images, inverse, STEPS)):
        assert torch.equal(result[1], images[1]) and not torch.equal(result[0], images[0])
    still = torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    moved = torch.tensor([True, True, True])
    computed = warp_batch(images, up_pixel_matrix(still), moved, STEPS)
    assert not torch.equal(computed, images)
    torch.testing.assert_close(computed, images, atol=1e-6, rtol=0)
    assert warp(images, still) is images
    assert margin_step(still, (16, 20)) == 0 and at_once(images, still, 0) is images


def test_a_shift_by_whole_pixels_shows_the_reflection_at_the_border() -> None:
    images, inverse = some((16, 20), 1)
    inverse[0] = torch.eye(3)
    inverse[0, :2, 2] = torch.tensor([-3.0, 2.0])  # 3 to the right, 2 up
    padded = F.pad(images, (3, 0, 0, 2), mode="reflect")
    torch.testing.assert_close(warp(images, inverse), padded[:, :, 2:, :20], atol=1e-5, rtol=0)


def test_a_quarter_turn_moves_right_to_down() -> None:
    """R(+90 degrees) as the inverse, y down: what appears at (x, 0) stood at (0, x)."""
    images = torch.zeros(1, 1, 33, 33, dtype=torch.float64)
    images[0, 0, 26, 16] = 1  # 10 below the centre
    inverse = inverse_matrix({"rotate90"}, RandomParameters(1, 1, percentile=0.3), (33, 33))
    warped = warp(images, inverse)[0, 0]
    assert divmod(int(warped.argmax()), 33) == (16, 26)  # 10 right of it


def test_margins_reach_as_far_as_the_corners_and_no_further_than_the_image() -> None:
    inverse = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    assert required_margins(inverse, (64, 48)) == (12, 12, 12, 12)
    inverse[1, :2, 2] = torch.tensor([40.0, -3.5])
    assert required_margins(inverse, (64, 48)) == (12, 47, 16, 12)  # left, right, top, bottom


def test_a_few_margins_are_enough_for_all_batches() -> None:
    """2,000 batches: each has the smallest of four symmetric margins that holds its tight ones."""
    size, pipe, found = (64, 96), AugmentPipe("bg"), {}
    for index in range(2000):
        inverse = pipe.draw(4, size, (0.05, 0.3, 0.8)[index % 3])["geometry"]
        step, needed = margin_step(inverse, size), required_margins(inverse, size)
        if step == 0:
            assert not warped(inverse).any()
            continue
        assert all(a >= b for a, b in zip(step_margins(step, size), needed, strict=True))
        if step > 1:
            less = step_margins(step - 1, size)
            assert any(a < b for a, b in zip(less, needed, strict=True))
        found.setdefault(step, inverse)
    assert step_margins(STEPS, size) == (95, 95, 63, 63)
    assert set(found) == {1, 2, 3, 4}
    images = torch.randn(4, 1, *size, dtype=torch.float64)
    for step, inverse in found.items():
        expected = warp(images, inverse)
        for wider in range(step, STEPS + 1):
            got = at_once(images, inverse, wider)
            torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)
