"""Colour transforms: each one's distribution and what it does to a colour."""

import math

import pytest
import torch
from torch import Tensor

from gantrain.augment.color import color_affine, color_matrix, recolor
from gantrain.augment.draw import RandomParameters
from gantrain.errors import ConfigError

N = 20_000
ALL = ("brightness", "contrast", "lumaflip", "hue", "saturation")


def draws(name: str, p: float = 1.0, percentile: float | None = None) -> Tensor:
    return color_matrix({name}, RandomParameters(N if percentile is None else 1, p, percentile))


def apply(matrix: Tensor, color: list[float]) -> Tensor:
    """[n, 3]: what the matrices make of one colour."""
    point = torch.tensor([*color, 1.0], dtype=torch.float64)
    return (matrix @ point)[:, :3]


@pytest.mark.parametrize("name", ALL)
def test_a_transform_changes_the_share_p_of_the_images(name: str) -> None:
    of_the_selected = 0.5 if name == "lumaflip" else 1
    eye = torch.eye(4, dtype=torch.float64)
    changed = (draws(name, 0.3) != eye).flatten(1).any(1).double().mean()
    assert changed == pytest.approx(0.3 * of_the_selected, abs=0.016)
    assert torch.equal(draws(name, 0.0), eye.expand(N, 4, 4))


def test_brightness_adds_a_normal_number_to_all_channels() -> None:
    change = apply(draws("brightness"), [0.1, 0.2, 0.3]) - torch.tensor([0.1, 0.2, 0.3])
    assert (change - change[:, :1]).abs().max() < 1e-7
    assert abs(change.mean()) < 0.008 and change[:, 0].std() == pytest.approx(0.2, rel=0.03)


def test_contrast_multiplies_by_a_lognormal_number() -> None:
    factor = apply(draws("contrast"), [1.0, -2.0, 4.0]) / torch.tensor([1.0, -2.0, 4.0])
    assert (factor - factor[:, :1]).abs().max() < 1e-12
    log2 = factor[:, 0].log2()
    assert abs(log2.mean()) < 0.02 and log2.std() == pytest.approx(0.5, rel=0.03)


def test_lumaflip_negates_the_brightness_alone() -> None:
    flipped = apply(draws("lumaflip", percentile=0.85), [0.5, 0.2, -0.1])
    assert flipped[0].tolist() == pytest.approx([0.1, -0.2, -0.5])  # minus twice the mean, 0.2


def test_hue_turns_about_the_grey_axis_from_red_to_green() -> None:
    third = 0.5 + 1 / 3  # (2p - 1) pi = 2 pi / 3
    turned = apply(draws("hue", percentile=third), [1.0, 0.0, 0.0])
    assert turned[0].tolist() == pytest.approx([0, 1, 0], abs=1e-12)
    grey = apply(draws("hue", percentile=0.9), [0.3, 0.3, 0.3])
    assert grey[0].tolist() == pytest.approx([0.3] * 3)


def test_hue_has_an_even_angle() -> None:
    matrices = draws("hue")[:, :3, :3]
    trace = matrices.diagonal(dim1=1, dim2=2).sum(1)
    sine = (matrices[:, 1, 0] - matrices[:, 0, 1]) * 3**0.5 / 2
    angle = torch.atan2(sine, (trace - 1) / 2)
    assert angle.abs().max() > 3.14 and abs(angle.mean()) < 0.07
    assert angle.std() == pytest.approx(math.pi / 3**0.5, rel=0.03)


def test_saturation_scales_the_distance_from_grey() -> None:
    colors = apply(draws("saturation"), [0.5, 0.2, -0.1])
    assert (colors.mean(1) - 0.2).abs().max() < 1e-12
    log2 = ((colors[:, 0] - 0.2) / 0.3).log2()
    assert abs(log2.mean()) < 0.04 and log2.std() == pytest.approx(1, rel=0.03)


def test_transforms_follow_each_other_in_order() -> None:
    """Contrast multiplies what brightness has added."""
    both = color_matrix({"contrast", "brightness"}, RandomParameters(1, 1, percentile=0.85))[0]
    erfinv = 0.7328690779592167
    assert float(both[0, 3]) == pytest.approx(0.2 * erfinv * 2 ** (0.5 * erfinv))


def test_each_image_gets_its_own_colors() -> None:
    images = torch.randn(4, 3, 5, 7, dtype=torch.float64)
    matrix = color_matrix(ALL, RandomParameters(4, 0.7))
    expected = torch.einsum("nij,njhw->nihw", matrix[:, :3, :3], images)
    expected += matrix[:, :3, 3, None, None]
    torch.testing.assert_close(recolor(images, color_affine(matrix, 3)), expected)


def test_grey_is_red_green_and_blue_alike() -> None:
    grey = torch.randn(4, 1, 5, 7, dtype=torch.float64)
    matrix = color_matrix(ALL, RandomParameters(4, 1))
    expected = recolor(grey.expand(-1, 3, -1, -1), color_affine(matrix, 3))
    torch.testing.assert_close(
        recolor(grey, color_affine(matrix, 1)), expected.mean(1, keepdim=True)
    )
    assert (expected - expected.mean(1, keepdim=True)).abs().max() < 1e-12  # and stays grey


@pytest.mark.parametrize("colors", [1, 3])
def test_alpha_has_no_color(colors: int) -> None:
    images = torch.randn(4, colors + 1, 5, 7, dtype=torch.float64)
    matrix = color_matrix(ALL, RandomParameters(4, 1))
    affine = color_affine(matrix, colors + 1)
    assert torch.equal(affine, color_affine(matrix, colors))
    colored = recolor(images, affine)
    assert torch.equal(colored[:, -1], images[:, -1])
    torch.testing.assert_close(colored[:, :-1], recolor(images[:, :-1], affine))


def test_other_numbers_of_channels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"these have 5: use augmentations without colour"):
        color_affine(torch.eye(4)[None], 5)
