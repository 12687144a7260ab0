"""The way to twice the resolution and back: perfect reconstruction; matrices against filters."""

import pytest
import torch
from torch import Tensor

from gantrain.augment.wavelet import (
    BORDER,
    REACH,
    SYM6,
    Margins,
    downsample_2x,
    downsample_2x_by_filter,
    upsample_2x,
    upsample_2x_by_filter,
)

WIDE = Margins(left=15, right=13, top=12, bottom=14)
SIZE = (16, 20)


def image(requires_grad: bool = False) -> Tensor:
    return torch.randn(2, 3, *SIZE, dtype=torch.float64, requires_grad=requires_grad)


def inner(x: Tensor) -> Tensor:
    """The up-pixels that do not know what lies beyond the margins."""
    return x[:, :, 2 * REACH : -2 * REACH, 2 * REACH : -2 * REACH]


def around_the_image(x: Tensor, margins: Margins) -> Tensor:
    """[.., 2H + 2 BORDER, 2W + 2 BORDER], the part that `halve` takes back to the image."""
    top, left = 2 * margins.top - BORDER, 2 * margins.left - BORDER
    return x[:, :, top : top + 2 * SIZE[0] + 2 * BORDER, left : left + 2 * SIZE[1] + 2 * BORDER]


def test_the_filter_is_an_orthogonal_wavelet() -> None:
    """sum_i h_i h_{i + 2k} = delta_k / 2 for a filter with sum 1."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    products = [float((taps[2 * k :] * taps[: len(taps) - 2 * k]).sum()) for k in range(6)]
    assert products == pytest.approx([0.5, 0, 0, 0, 0, 0], abs=1e-7)


@pytest.mark.parametrize(
    ("up", "down"), [(upsample_2x, downsample_2x), (upsample_2x_by_filter, downsample_2x_by_filter)]
)
def test_up_and_down_give_the_image_back(up, down) -> None:  # type: ignore[no-untyped-def]
    x = image()
    torch.testing.assert_close(down(around_the_image(up(x, WIDE), WIDE)), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("margins", [WIDE, Margins(19, 19, 15, 15)])
def test_matrices_and_filters_double_alike(margins: Margins) -> None:
    x = image()
    y, expected = upsample_2x(x, margins), upsample_2x_by_filter(x, margins)
    assert y.shape == expected.shape
    torch.testing.assert_close(inner(y), inner(expected))
    if margins.left == SIZE[1] - 1:  # the widest margins end alike as well
        torch.testing.assert_close(y, expected)


def test_matrices_and_filters_halve_alike() -> None:
    x = image()
    torch.testing.assert_close(downsample_2x(x), downsample_2x_by_filter(x))


def test_derivatives_are_alike() -> None:
    x = image(requires_grad=True)
    ways = []
    for up, down in (
        (upsample_2x, downsample_2x),
        (upsample_2x_by_filter, downsample_2x_by_filter),
    ):
        y = down(around_the_image(up(x, WIDE), WIDE).square())
        (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        ways.append((grad, *torch.autograd.grad(grad.square().sum(), x)))
    for got, expected in zip(*ways, strict=True):
        torch.testing.assert_close(got, expected)


def test_matrices_that_inference_mode_made_first_serve_training() -> None:
    size = (9, 11)  # of no other test
    with torch.inference_mode():
        upsample_2x(torch.randn(1, 1, *size), Margins(1, 1, 1, 1))
    x = torch.randn(1, 1, *size, requires_grad=True)
    upsample_2x(x, Margins(1, 1, 1, 1)).sum().backward()
    assert x.grad is not None
