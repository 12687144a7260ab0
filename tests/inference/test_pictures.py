"""Pictures of data=colorize: RGB for people and metrics, L and colours for the networks."""

import pytest
import torch
from torch import Tensor

from gantrain.inference import pictures
from gantrain.inference.pictures import look_of, look_of_columns, of_pictures
from gantrain.ops.lab import split_rgb
from gantrain.ops.value_range import to_float, to_uint8

LAB = {"space": "lab"}


@pytest.fixture
def rgb() -> Tensor:
    return torch.randint(0, 256, (2, 3, 9, 14), dtype=torch.uint8)


def planes(rgb: Tensor) -> tuple[Tensor, Tensor]:
    lightness, colors = split_rgb(rgb.numpy())
    return torch.from_numpy(lightness), torch.from_numpy(colors)


def test_other_data_sets_look_as_they_are(rgb: Tensor) -> None:
    assert look_of({})(rgb, None) is rgb
    translate = torch.neg
    assert of_pictures(translate, {"space": None}) is translate
    assert look_of_columns({})({"x": rgb}, {}) == {"x": rgb}


def test_colors_on_their_lightness_are_the_picture(rgb: Tensor) -> None:
    lightness, colors = planes(rgb)
    assert torch.equal(to_uint8(look_of(LAB)(colors, lightness)), rgb)
    assert torch.equal(to_uint8(look_of(LAB)(colors[0], lightness[0])), rgb[0])


def test_lightness_is_a_grey_picture_of_the_same_lightness(rgb: Tensor) -> None:
    lightness, _ = planes(rgb)
    grey = look_of(LAB)(lightness, None)
    assert grey.shape == (2, 3, 9, 14)
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-3
    again, _ = split_rgb((grey / 2 + 0.5).clamp(0, 1).numpy())
    assert (torch.from_numpy(again) - lightness).abs().max() < 1e-3


def test_a_network_of_colors_translates_pictures(rgb: Tensor) -> None:
    lightness, colors = planes(rgb)
    seen: list[Tensor] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x)
        return colors

    result = of_pictures(network, LAB)(to_float(rgb))
    assert (seen[0] - lightness).abs().max() < 1e-6
    assert torch.equal(to_uint8(result), rgb)
    grey = rgb[:, :1].expand(-1, 3, -1, -1)
    of_pictures(network, LAB)(to_float(grey))
    own, _ = planes(grey.contiguous())  # its grey values are its lightness
    assert (seen[1] - own).abs().max() < 1e-6


def test_bands_of_rows_change_nothing(rgb: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    lightness, colors = planes(rgb)
    whole = look_of(LAB)(colors, lightness)
    monkeypatch.setattr(pictures, "_PIXELS", 60)  # two rows
    assert torch.equal(look_of(LAB)(colors, lightness), whole)


def test_columns_of_a_grid(rgb: Tensor) -> None:
    lightness, colors = planes(rgb)
    columns = {"real a": lightness, "fake b": -colors, "real b": colors}
    seen = look_of_columns(LAB)(columns, {"a": lightness, "b": colors})
    assert {x.shape for x in seen.values()} == {rgb.shape}
    assert torch.equal(to_uint8(seen["real b"]), rgb)
    assert not torch.equal(to_uint8(seen["fake b"]), rgb)
