import pytest

from gantrain.types import value_at


def test_number_is_constant() -> None:
    assert value_at(10, 0) == value_at(10, 10**9) == 10.0


@pytest.mark.parametrize(
    ("nimg", "value"), [(0, 1), (2000, 1), (3000, 3.5), (4000, 6), (4500, 5), (9000, 4)]
)
def test_points_are_joined_linearly(nimg: int, value: float) -> None:
    assert value_at([[2, 1], [4, 6], [5, 4]], nimg) == pytest.approx(value)


def test_jump() -> None:
    points = [[1, 0.0], [1.001, 10.0]]
    assert [value_at(points, n) for n in (1000, 1001)] == [0, 10]
