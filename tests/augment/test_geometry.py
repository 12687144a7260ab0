"""Geometric transforms: each one's distribution, their order and the direction of the matrices."""

import cmath
import math

import pytest
import torch
from torch import Tensor

from gantrain.augment.draw import RandomParameters
from gantrain.augment.geometry import inverse_matrix

N = 20_000
ALL = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")


def draws(name: str, p: float = 1.0, size: tuple[int, int] = (64, 32)) -> Tensor:
    return inverse_matrix({name}, RandomParameters(N, p), size)


def share(where: Tensor) -> float:
    return float(where.double().mean())


def moved(matrices: Tensor) -> Tensor:
    return (matrices != torch.eye(3, dtype=torch.float64)).flatten(1).any(1)


@pytest.mark.parametrize("name", ALL)
def test_probability_zero_is_exactly_the_identity(name: str) -> None:
    assert not moved(draws(name, 0.0)).any()


# Half of the selected stay unflipped; a quarter gets rotate90 by 0; a shift of less than half a
# pixel rounds to 0 along both axes with probability (1/16) (1/8) here; rotate acts twice.
@pytest.mark.parametrize(
    ("name", "of_the_selected"),
    list(zip(ALL, (1 / 2, 3 / 4, 1 - 1 / 128, 1, 1, 1, 1), strict=True)),
)
def test_a_transform_moves_the_share_p_of_the_images(name: str, of_the_selected: float) -> None:
    assert share(moved(draws(name, 0.3))) == pytest.approx(0.3 * of_the_selected, abs=0.016)


def test_xflip_mirrors_half_of_the_selected() -> None:
    matrices = draws("xflip")
    assert set(matrices[:, 0, 0].tolist()) == {1.0, -1.0}
    assert share(matrices[:, 0, 0] < 0) == pytest.approx(0.5, abs=0.02)
    assert (matrices[:, 1, 1] == 1).all() and (matrices[:, :2, 2] == 0).all()


def test_rotate90_turns_by_multiples_of_a_right_angle_alike_often() -> None:
    matrices = draws("rotate90")
    quarters = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]) / (math.pi / 2)
    assert (quarters - quarters.round()).abs().max() < 1e-12
    counts = quarters.round().remainder(4).long().bincount()
    assert (counts / N - 0.25).abs().max() < 0.016


def test_xint_shifts_by_whole_pixels_up_to_an_eighth_of_each_side() -> None:
    shift = draws("xint", size=(64, 32))[:, :2, 2]
    assert torch.equal(shift, shift.round())
    assert shift[:, 0].abs().max() == 4 and shift[:, 1].abs().max() == 8
    # Rounded U(-4, 4) and U(-8, 8); x and y are drawn apart.
    assert shift[:, 0].std() == pytest.approx(math.sqrt(8**2 / 12 + 1 / 12), rel=0.03)
    assert shift[:, 1].std() == pytest.approx(math.sqrt(16**2 / 12 + 1 / 12), rel=0.03)
    assert abs(shift.T.corrcoef()[0, 1]) < 0.04


def test_scale_is_isotropic_and_lognormal() -> None:
    matrices = draws("scale")
    assert torch.equal(matrices[:, 0, 0], matrices[:, 1, 1])
    log2 = matrices[:, 0, 0].log2()
    assert abs(log2.mean()) < 0.008 and log2.std() == pytest.approx(0.2, rel=0.03)


def test_aniso_keeps_the_area() -> None:
    matrices = draws("aniso")
    assert (matrices[:, 0, 0] * matrices[:, 1, 1] - 1).abs().max() < 1e-12
    log2 = matrices[:, 0, 0].log2()
    assert abs(log2.mean()) < 0.008 and log2.std() == pytest.approx(0.2, rel=0.03)


def test_each_of_the_two_rotations_has_an_even_angle() -> None:
    matrices = draws("rotate", 0.51)
    still = (1 - 0.51) ** 0.5  # of one rotation alone, so that both stand still with 1 - p
    assert share(~moved(matrices)) == pytest.approx(still**2, abs=0.016)
    angle = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0])[moved(matrices)]
    assert angle.abs().max() > 3.14
    assert abs(angle.mean()) < 0.08 and angle.std() == pytest.approx(math.pi / 3**0.5, rel=0.03)
    assert (matrices[:, :2, :2].det() - 1).abs().max() < 1e-12


def test_xfrac_shifts_by_an_eighth_of_each_side_typically() -> None:
    shift = draws("xfrac", size=(64, 32))[:, :2, 2]
    assert shift[:, 0].std() == pytest.approx(0.125 * 32, rel=0.03)
    assert shift[:, 1].std() == pytest.approx(0.125 * 64, rel=0.03)
    assert abs(shift.T.corrcoef()[0, 1]) < 0.04


def test_rotations_stand_on_both_sides_of_aniso() -> None:
    """A stretch along any axis: with the first rotation only, columns would stay orthogonal."""
    both = inverse_matrix({"rotate", "aniso"}, RandomParameters(N, 1), (8, 8))[:, :2, :2]
    for gram in (both @ both.mT, both.mT @ both):
        assert share(gram[:, 0, 1].abs() > 1e-3) > 0.9


def test_the_matrix_is_the_inverse_of_the_transforms_in_their_order() -> None:
    """Percentile 0.85 at 16x16, X_n ... X_1 written out, for the point (1, 2)."""
    erfinv = 0.7328690779592167  # of 0.7
    scale, shift = 2 ** (0.2 * erfinv), 0.125 * 16 * erfinv
    place = complex(1, 2)  # x + i y
    place = -place.conjugate()  # xflip
    place *= cmath.exp(-3j * math.pi / 2)  # rotate90 by floor(4 * 0.85) quarters
    place += 1 + 1j  # xint: round(0.7 / 8 * 16)
    place *= scale
    place *= cmath.exp(-0.7j * math.pi)  # rotate
    place = complex(place.real * scale, place.imag / scale)  # aniso
    place += shift * (1 + 1j)  # xfrac
    x, y = place.real, place.imag
    inverse = inverse_matrix(ALL, RandomParameters(1, 1, percentile=0.85), (16, 16))[0]
    back = inverse @ torch.tensor([x, y, 1.0], dtype=torch.float64)
    assert back.tolist() == pytest.approx([1.0, 2.0, 1.0], abs=1e-12)
