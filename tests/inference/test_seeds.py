import pytest

from gantrain.errors import ConfigError
from gantrain.inference.seeds import Numbers, read_numbers


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        (7, [7]),
        ("7", [7]),
        ("0-3", [0, 1, 2, 3]),
        ("5-5", [5]),
        ("1,2,5-9", [1, 2, 5, 6, 7, 8, 9]),
        (" 3 , 1-2 ", [3, 1, 2]),
        ([1, 2, "5-7"], [1, 2, 5, 6, 7]),
        ((4, 4), [4, 4]),
        (range(3), [0, 1, 2]),
        (2**32 - 1, [2**32 - 1]),
    ],
)
def test_what_is_read(typed: Numbers, numbers: list[int]) -> None:
    assert read_numbers("seeds", typed) == numbers


@pytest.mark.parametrize(
    "typed", ["", "a", "1-", "-1", -1, "5-3", "1;2", [], [1, "x"], 2**32, "0-9999999999", True]
)
def test_what_is_refused(typed: Numbers) -> None:
    with pytest.raises(ConfigError, match=r"seeds=.* must be whole numbers .* 0-31 or \[1,2,5-9\]"):
        read_numbers("seeds", typed)


def test_a_bound_of_ones_own() -> None:
    assert read_numbers("layers", "0-6", 6)[-1] == 6
    with pytest.raises(ConfigError, match=r"layers=0-7 .* from 0 to 6, such as"):
        read_numbers("layers", "0-7", 6)
