"""sRGB to CIE Lab and back: golden numbers, tabulated values, the round trip of every colour."""

from pathlib import Path

import numpy as np
import pytest

from gantrain.ops.lab import join_rgb, split_rgb

GOLDEN = Path(__file__).parents[1] / "golden" / "pix2pix_lab.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def test_forward_equals_the_reference(golden: dict[str, np.ndarray]) -> None:
    lightness, colors = split_rgb(golden["rgb/u8"])
    assert lightness.dtype == colors.dtype == np.float32
    assert np.abs(lightness - golden["L"]).max() < 1e-6
    assert np.abs(colors - golden["ab"]).max() < 1e-6


def test_backward_equals_the_reference_inside_and_outside_of_the_gamut(
    golden: dict[str, np.ndarray],
) -> None:
    inside = join_rgb(golden["L"], golden["ab"])
    outside = join_rgb(golden["L"], golden["ab/other"])
    assert np.abs(inside - golden["rgb/round_trip"]).max() < 1e-6
    assert np.abs(outside - golden["rgb/other"]).max() < 1e-6
    assert (outside == 0).any() and (outside == 1).any()  # some were clipped


def test_known_colors() -> None:
    # Lab of the sRGB primaries, as tabulated (D65): L, a, b.
    known = {
        (255, 255, 255): (100.0, 0.0, 0.0),
        (0, 0, 0): (0.0, 0.0, 0.0),
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 255, 0): (87.73, -86.18, 83.18),
        (0, 0, 255): (32.30, 79.19, -107.86),
    }
    rgb = np.array([*known], np.uint8).T[:, None]
    lightness, colors = split_rgb(rgb)
    lab = np.concatenate([(lightness + 1) * 50, colors * 110])[:, 0].T
    assert np.abs(lab - np.array([*known.values()])).max() < 0.02


def colors_of_cube(step: int) -> np.ndarray:
    """uint8 [N, 3, 1, W] of a grid of all colours, the extremes among them."""
    levels = np.unique(np.append(np.arange(0, 256, step), 255)).astype(np.uint8)
    axes = np.meshgrid(levels, levels, levels, indexing="ij")
    return np.stack(axes, 1).reshape(len(levels), 3, 1, -1)


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.ci)])
def test_every_8_bit_color_comes_back_exactly(step: int) -> None:
    for rgb in colors_of_cube(step):
        lightness, colors = split_rgb(rgb)
        assert max(np.abs(lightness).max(), np.abs(colors).max()) <= 1  # tanh can reach them
        assert np.array_equal(np.rint(join_rgb(lightness, colors) * 255), rgb)


def test_16_bit_levels_come_back_exactly() -> None:
    rgb = np.random.default_rng(0).integers(0, 65536, (2, 3, 40, 50), np.uint16)
    assert np.array_equal(np.rint(join_rgb(*split_rgb(rgb)) * 65535), rgb)


def test_floats_and_levels_agree() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 9, 9), np.uint8)
    for levels, floats in zip(split_rgb(rgb), split_rgb(rgb / 255), strict=True):
        assert np.array_equal(levels, floats)


def test_grey_has_no_color() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, None], 3, axis=0)
    lightness, colors = split_rgb(grey)
    assert np.abs(colors).max() * 110 < 0.02  # the published matrix is rounded to 6 digits
    assert (np.diff(lightness[0, 0]) > 0).all()
