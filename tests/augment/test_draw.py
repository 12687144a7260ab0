"""Random parameters: distributions, selection, the percentile mode."""

import math

import pytest
import torch

from gantrain.augment.draw import RandomParameters

N = 20_000


def test_every_distribution_has_its_moments_and_support() -> None:
    draw = RandomParameters(N, 1)
    assert all(len(v) == N for v in (draw.uniform(), draw.normal(1), draw.integer(4)))
    uniform, signed, normal = draw.uniform(2), draw.signed(0.125), draw.normal(0.2, 3)
    assert uniform.shape == (N, 2)
    assert 0 <= uniform.min() < 0.001 and 0.999 < uniform.max() < 1
    assert -0.125 <= signed.min() < -0.1249 and 0.1249 < signed.max() < 0.125
    assert abs(signed.mean()) < 0.002
    assert abs(normal.mean()) < 0.005 and normal.std() == pytest.approx(0.2, rel=0.02)
    half = draw.half_normal(0.1)
    assert half.min() >= 0 and half.mean() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.03)
    counts = draw.integer(4).long().bincount(minlength=4)
    assert len(counts) == 4 and (counts / N - 0.25).abs().max() < 0.015


@pytest.mark.parametrize("p", [0.0, 0.05, 0.3, 0.8, 1.0])
def test_selection_has_probability_p_and_is_independent_between_calls(p: float) -> None:
    draw = RandomParameters(N, p)
    first, second = (draw.select(torch.ones(N, dtype=torch.float64), 0) for _ in range(2))
    sigma = math.sqrt(p * (1 - p) / N)
    assert abs(first.mean() - p) <= 5 * sigma
    assert abs((first * second).mean() - p * p) <= 5 * math.sqrt(p * p * (1 - p * p) / N)


def test_an_image_is_selected_with_all_its_values_and_at_a_probability_of_its_own() -> None:
    draw = RandomParameters(N, 0.3)
    both = draw.select(torch.ones(N, 2, dtype=torch.float64), -1)
    assert torch.equal(both[:, 0], both[:, 1]) and set(both[:, 0].tolist()) == {1.0, -1.0}
    assert draw.select(torch.ones(N), 0, p=1).all()


def test_percentile_takes_the_place_of_the_random_values() -> None:
    draw = RandomParameters(3, 1, percentile=0.85)
    expected = 0.7328690779592167 * 0.2  # erfinv(0.7) * std, without sqrt(2)
    assert draw.normal(0.2, 2).flatten().tolist() == pytest.approx([expected] * 6)
    assert draw.uniform().tolist() == [0.85] * 3
    assert draw.signed(10).tolist() == pytest.approx([7.0] * 3)
    assert draw.integer(4).tolist() == [3.0] * 3
    assert RandomParameters(1, 1, 0.7).half_normal(0.2).tolist() == pytest.approx([expected])


def test_everything_is_drawn_on_the_host_in_double_precision() -> None:
    draw = RandomParameters(2, 0.5)
    drawn = (draw.uniform(), draw.normal(1), draw.half_normal(1), draw.integer(2), draw.signed(1))
    assert all(v.device.type == "cpu" and v.dtype == torch.float64 for v in drawn)
