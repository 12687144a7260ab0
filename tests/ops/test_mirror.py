"""Mirroring to a multiple against numpy."""

import numpy as np
import pytest
import torch

from gantrain.ops.mirror import mirror_to_multiple


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 64), (64, 8), (9, 100)])
@pytest.mark.parametrize("multiple", [1, 4, 64])
def test_as_numpy_does(size: tuple[int, int], multiple: int) -> None:
    x = torch.randn(2, 3, *size)
    found = mirror_to_multiple(x, multiple, least=8)
    h, w = found.shape[2:]
    assert h % multiple == w % multiple == 0 and min(h, w) >= 8
    assert h - size[0] < max(multiple, 8) and w - size[1] < max(multiple, 8)
    mode = {"mode": "reflect"}
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, h - size[0]), (0, w - size[1])), **mode)
    assert np.array_equal(found.numpy(), expected)
    assert torch.equal(found[:, :, : size[0], : size[1]], x)
