"""Reflection at the borders."""

import torch
import torch.nn.functional as F

from gantrain.augment.reflect import mirror, mirror_by_index, reflected

SIDES = (6, 1, 0, 4)  # left, right, top, bottom of 5 x 7 pixels


def test_the_line_goes_to_and_fro_for_ever() -> None:
    line = [1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert reflected(torch.arange(-7, 5), 3).tolist() == line
    assert reflected(torch.arange(-2, 3), 1).tolist() == [0] * 5


def test_both_ways_are_the_same_function() -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    y, z, expected = mirror(x, *SIDES), mirror_by_index(x, *SIDES), F.pad(x, SIDES, mode="reflect")
    assert torch.equal(y, expected) and torch.equal(z, expected)
    weight = torch.randn_like(y)
    (gy,), (gz,) = (torch.autograd.grad((t * weight).sum(), x) for t in (y, z))
    torch.testing.assert_close(gy, gz)
