"""How strengths are written."""

import pytest

from gantrain.config.editing import Edit, read_strength, strength_problems
from gantrain.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (2.5, (2.5, 2.5)),
        (-3, (-3, -3)),
        (1e-7, (1e-7, 1e-7)),
        ("-3..3", (-3, 3)),
        ("3..-0.5", (3, -0.5)),
        (" 1.0 .. +2 ", (1, 2)),
    ],
)
def test_numbers_and_ranges(text: float | str, ends: tuple[float, float]) -> None:
    assert read_strength(text) == ends


@pytest.mark.parametrize("text", ["", "a", "1-3", "1..", "..3", "1...3", "nan", "inf", True, 1001])
def test_what_is_neither(text: object) -> None:
    with pytest.raises(ConfigError, match="is neither a number"):
        read_strength(text)
    assert strength_problems([1, text])


def test_one_strength_is_for_all_directions() -> None:
    several = Edit(["a.npz:0", "b.npz:1"], "0..2", None, steps=3, frames=0)
    assert several.ranges == [(0, 2), (0, 2)] and several.problems() == []
    each = Edit(["a.npz:0", "b.npz:1"], [1, -2], None, steps=0, frames=0)
    assert each.ranges == [(1, 1), (-2, -2)] and each.problems() == []
    assert Edit(None, 1.0, None, steps=0, frames=0).problems() == []
    assert Edit([], 1.0, None, steps=0, frames=0).problems()
