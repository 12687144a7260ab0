"""Reflection at the borders."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gantrain.ops.reflect import (
    pad_by_slices,
    reflect_indices,
    reflect_pad_sides,
    reflect_to_multiple,
)

SIDES = (6, 1, 0, 4)  # left, right, top, bottom of 5 x 7 pixels


def test_the_line_goes_to_and_fro_for_ever() -> None:
    line = [1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert reflect_indices(torch.arange(-7, 5), 3).tolist() == line
    assert reflect_indices(torch.arange(-2, 3), 1).tolist() == [0] * 5


def test_both_ways_are_the_same_function() -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    y, z, expected = (
        reflect_pad_sides(x, *SIDES),
        pad_by_slices(x, *SIDES),
        F.pad(x, SIDES, mode="reflect"),
    )
    assert torch.equal(y, expected) and torch.equal(z, expected)
    weight = torch.randn_like(y)
    (gy,), (gz,) = (torch.autograd.grad((t * weight).sum(), x) for t in (y, z))
    torch.testing.assert_close(gy, gz)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 64), (64, 8), (9, 100)])
@pytest.mark.parametrize("multiple", [1, 4, 64])
def test_as_numpy_does(size: tuple[int, int], multiple: int) -> None:
    x = torch.randn(2, 3, *size)
    found = reflect_to_multiple(x, multiple, min_size=8)
    h, w = found.shape[2:]
    assert h % multiple == w % multiple == 0 and min(h, w) >= 8
    assert h - size[0] < max(multiple, 8) and w - size[1] < max(multiple, 8)
    mode = {"mode": "reflect"}
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, h - size[0]), (0, w - size[1])), **mode)
    assert np.array_equal(found.numpy(), expected)
    assert torch.equal(found[:, :, : size[0], : size[1]], x)
