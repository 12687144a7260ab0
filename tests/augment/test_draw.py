"""Random parameters: distributions, selection, the percentile mode."""

import math

import pytest
import torch
from torch import Tensor

from gantrain.augment.draw import Parameter, RandomParameters

N = 20_000


def draw(
    parameter: Parameter, p: float = 1.0, n: int = N, percentile: float | None = None
) -> Tensor:
    """[width, n]"""
    [rows] = RandomParameters(n, p, percentile).draw([parameter])
    return torch.stack(rows)


def test_every_law_has_its_moments_and_support() -> None:
    uniform, signed = draw(Parameter("uniform", 4.0, 2)), draw(Parameter("signed", 0.125))
    assert uniform.shape == (2, N) and abs(uniform.corrcoef()[0, 1]) < 0.04
    assert 0 <= uniform.min() < 0.004 and 3.996 < uniform.max() < 4
    counts = uniform[0].floor().long().bincount(minlength=4)
    assert len(counts) == 4 and (counts / N - 0.25).abs().max() < 0.015
    assert -0.125 <= signed.min() < -0.1249 and 0.1249 < signed.max() < 0.125
    assert abs(signed.mean()) < 0.002
    normal, half = draw(Parameter("normal", 0.2, 3)), draw(Parameter("half_normal", 0.1))
    assert abs(normal.mean()) < 0.005 and normal.std() == pytest.approx(0.2, rel=0.02)
    assert half.min() >= 0 and half.mean() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.03)


@pytest.mark.parametrize("p", [0.0, 0.05, 0.3, 0.8, 1.0])
def test_selection_has_probability_p_and_is_independent_between_parameters(p: float) -> None:
    always = Parameter("uniform", 0.0, neutral=1.0)
    (a,), (b,) = RandomParameters(N, p).draw([always, always])
    first, second = 1 - a, 1 - b
    sigma = math.sqrt(p * (1 - p) / N)
    assert abs(first.mean() - p) <= 5 * sigma
    assert abs((first * second).mean() - p * p) <= 5 * math.sqrt(p * p * (1 - p * p) / N)


def test_an_image_is_selected_with_all_its_values_and_at_a_probability_of_its_own() -> None:
    both = draw(Parameter("uniform", 1.0, 2, neutral=-1.0), 0.3)
    assert torch.equal(both[0] < 0, both[1] < 0) and 0.25 < (both[0] >= 0).double().mean() < 0.35
    assert (both[0] == -1).any() and (both[0][both[0] < 0] == -1).all()
    assert (draw(Parameter("uniform", 1.0, neutral=-1.0, chance=lambda p: 2 * p), 0.5) >= 0).all()


def test_percentile_takes_the_place_of_the_random_values() -> None:
    expected = 0.7328690779592167 * 0.2  # erfinv(0.7) * std, without sqrt(2)
    for parameter, percentile, value in (
        (Parameter("normal", 0.2, 2), 0.85, expected),
        (Parameter("half_normal", 0.2), 0.7, expected),
        (Parameter("uniform", 4.0), 0.85, 3.4),
        (Parameter("signed", 10.0), 0.85, 7.0),
    ):
        values = draw(parameter, n=3, percentile=percentile)
        assert values.flatten().tolist() == pytest.approx([value] * values.numel())


def test_the_numbers_of_a_seed_are_drawn_one_after_the_other() -> None:
    """The values of all images, then their selection, parameter by parameter."""
    parameters = [Parameter("normal", 0.5, 2), Parameter("signed", 3.0), Parameter("uniform", 2.0)]
    torch.manual_seed(5)
    (x, y), (angle,), (factor,) = RandomParameters(4, 0.5).draw(parameters)
    torch.manual_seed(5)
    for found, law in (
        ((x, y), lambda: torch.randn(4, 2, dtype=torch.float64) * 0.5),
        ((angle,), lambda: (2 * torch.rand(4, 1, dtype=torch.float64) - 1) * 3.0),
        ((factor,), lambda: torch.rand(4, 1, dtype=torch.float64) * 2.0),
    ):
        values, selected = law(), torch.rand(4, 1, dtype=torch.float64) < 0.5
        assert torch.equal(torch.stack(found, dim=1), torch.where(selected, values, 0.0))


def test_everything_is_drawn_on_the_host_in_double_precision_and_nothing_if_p_is_0() -> None:
    parameters = [Parameter("normal", 1.0), Parameter("uniform", 1.0, 2, neutral=-1.0)]
    for p in (0.0, 0.5):
        before = torch.random.get_rng_state()
        rows = [row for part in RandomParameters(2, p).draw(parameters) for row in part]
        assert all(v.device.type == "cpu" and v.dtype == torch.float64 for v in rows)
        assert torch.equal(before, torch.random.get_rng_state()) == (p == 0)
