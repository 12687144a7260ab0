import pytest

from gantrain.types import is_schedule, scaled, value_at


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


@pytest.mark.parametrize(
    ("shape", "values"),
    [("linear", [2, 1.5, 0, 0]), ("cosine", [2, 2 - 2 * 0.5 * (1 - 0.5**0.5), 0, 0])],
)
def test_ramp(shape: str, values: list[float]) -> None:
    ramp = {"base": 2, "final": 0, "kimg": 0.08, "shape": shape}
    assert [value_at(ramp, n) for n in (0, 20, 80, 999)] == pytest.approx(values)


def test_scaled() -> None:
    ramp = {"base": 1, "final": 2, "kimg": 3, "shape": "linear"}
    for schedule in (4, [[0, 1], [5, 2.5]], ramp):
        for nimg in (0, 1000, 7000):
            assert value_at(scaled(schedule, 10), nimg) == 10 * value_at(schedule, nimg)


def test_form() -> None:
    ramp = {"base": 1, "final": 2, "kimg": 3, "shape": "linear"}
    assert all(map(is_schedule, ([[0, 1]], [[0, 1], [5, 2.5]], ramp)))
    assert not any(map(is_schedule, (1, [], [0, 1], [[0, 1, 2]], [[[0, 1]]], {"base": 1}, "text")))
