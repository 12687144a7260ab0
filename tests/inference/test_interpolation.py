import numpy as np
import pytest
import torch

from gantrain.inference.interpolation import interpolate, spline
from gantrain.inference.latent_sources import LatentBatch


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_path_goes_through_the_points(count: int, loop: bool) -> None:
    points = torch.randn(count, 2, 3)
    path = spline(points, 5, loop=loop)
    assert path.shape == (count * 5 if loop else (count - 1) * 5 + 1, 2, 3)
    assert path.dtype == torch.float32
    torch.testing.assert_close(path[::5], points)


def test_a_closed_path_is_smooth_where_it_closes() -> None:
    points, steps = torch.randn(5, 4, dtype=torch.float64), 1000
    path = spline(points, steps, loop=True)
    around = torch.cat([path, path[:2]])
    speed = around.diff(dim=0) * steps
    bend = speed.diff(dim=0) * steps
    # C2: neither speed nor bend jumps, at the seam no more than elsewhere
    assert speed.diff(dim=0).abs().max() < 0.1
    assert bend.diff(dim=0).abs().max() < 0.2
    rolled = spline(points.roll(2, 0), steps, loop=True)
    torch.testing.assert_close(rolled, path.roll(2 * steps, 0))


def test_an_open_path_is_the_natural_spline() -> None:
    # closed form of three points: second derivatives 0, 6 (y0 - 2 y1 + y2) / 4, 0
    y = torch.tensor([[1.0], [3.0], [-2.0]], dtype=torch.float64)
    m = 6 * (1 - 6 - 2) / 4
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    first = 1 + t * (3 - 1 - m / 6) + m / 6 * t**3
    torch.testing.assert_close(spline(y, 10, loop=False)[:11, 0], first)


def test_two_points_on_an_open_path_make_a_line() -> None:
    path = spline(torch.tensor([[0.0], [4.0]]), 4, loop=False)
    assert np.allclose(path[:, 0], [0, 1, 2, 3, 4])


def test_walk_is_the_path_in_portions() -> None:
    points = torch.randn(3, 2)
    keys = LatentBatch(["a", "b", "c"], ["a", "b", "c"], points, [8, 9, 10])
    parts = list(interpolate(keys, 4, 5, loop=True))
    assert [len(part.values) for part in parts] == [5, 5, 2]
    assert torch.equal(torch.cat([p.values for p in parts]), spline(points, 4, loop=True))
    assert [seed for part in parts for seed in part.seeds] == list(range(12))
