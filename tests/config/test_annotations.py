"""Values against annotations, and the sentences about misfits."""

from typing import Annotated, Any, Literal, Optional

import pytest

from gantrain.config.annotations import (
    accepts,
    describe,
    explain_mismatch,
    map_schedules,
    to_floats,
    with_schedules,
)
from gantrain.errors import nearest
from gantrain.types import Range, Schedule

UNIT = Annotated[float, Range(0, 1, open_high=True)]
OPTIONAL = int | None
WEIGHT = Annotated[Schedule, Range(0)]
BETAS = with_schedules(tuple[float, float], Range(0, 1, open_high=True))


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (3, int),
        (3, float),
        (None, int | None),
        (True, bool),
        (0.5, UNIT),
        ([0.5, 0.999], tuple[UNIT, UNIT]),
        (1, Literal[1, 3, 4]),
        (10, WEIGHT),
        ([[0, 1], [5, 2.5]], WEIGHT),
        ({"base": 0, "final": 1.5, "kimg": 3, "shape": "linear"}, WEIGHT),
        ({"base": 0, "final": 1.5, "kimg": None, "shape": "cosine"}, WEIGHT),
        ([0.0, {"base": 0, "final": 0.5, "kimg": 3, "shape": "linear"}], BETAS),
        ([256, 320], Annotated[int | list[int], Range(1)]),
        ({"any": "thing"}, dict),
        (object(), Any),
    ],
)
def test_accepts(value: Any, annotation: Any) -> None:
    assert accepts(value, annotation)
    assert explain_mismatch("key", value, annotation) is None


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, int),
        (4.0, int),
        ("3", float),
        (float("nan"), float),
        (float("inf"), float),
        (1, bool),
        (None, int),
        (1.0, UNIT),
        ([0.5], tuple[float, float]),
        ([0.5, 1.5], tuple[UNIT, UNIT]),
        (True, Literal[1, 3, 4]),
        (-1, WEIGHT),
        ([], WEIGHT),
        ([[0, 1], [0, 2]], WEIGHT),
        ([[5, 1], [0, 2]], WEIGHT),
        ([[0, 1], [5, -2]], WEIGHT),
        ([[-1, 1]], WEIGHT),
        ([[0, 1, 2]], WEIGHT),
        ({"base": 0, "final": -1.5, "kimg": 3, "shape": "linear"}, WEIGHT),
        ({"base": 0, "final": 1.5, "kimg": 0, "shape": "linear"}, WEIGHT),
        ({"base": 0, "final": 1.5, "kimg": 3, "shape": "square"}, WEIGHT),
        ({"base": 0, "final": 1.5, "kimg": 3}, WEIGHT),
        ({"base": True, "final": 1.5, "kimg": 3, "shape": "linear"}, WEIGHT),
        ([0.0, {"base": 0, "final": 1.5, "kimg": 3, "shape": "linear"}], BETAS),
        ([256, 0], Annotated[int | list[int], Range(1)]),
    ],
)
def test_refuses(value: Any, annotation: Any) -> None:
    assert not accepts(value, annotation)
    assert explain_mismatch("key", value, annotation)


def test_sentences() -> None:
    norm = Literal["instance", "batch", "none"]
    assert explain_mismatch("model.norm", "instanc", norm) == (
        "model.norm=instanc is not a choice. Did you mean model.norm=instance? "
        "Choices: instance, batch, none."
    )
    assert explain_mismatch("n", 0, Annotated[int, Range(1)]) == (
        "n=0 is out of range: n must be an integer of at least 1."
    )
    assert explain_mismatch("n", "x", OPTIONAL) == (
        "n=x is not allowed: n must be an integer or null."
    )
    assert "increasing kimg, values of at least 0" in describe(WEIGHT)


def test_closest_knows_when_nothing_is_close() -> None:
    assert nearest("adan", ["adam", "sgd"]) == "adam"
    assert nearest("zzz", ["adam", "sgd"]) is None


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, float, "1.0"),
        (1, int, "1"),
        (True, float | bool, "True"),
        (2, Optional[Annotated[float, Range(0)]], "2.0"),  # noqa: UP045
        (2, int | float, "2"),
        ([0, 0.9], tuple[float, float], "[0.0, 0.9]"),
        ([0, 1], list[float], "[0.0, 1.0]"),
        ([0, 1], list[int], "[0, 1]"),
        (None, float | None, "None"),
        ([3, 1], tuple[float | Literal["x"], int], "[3.0, 1]"),
        ({"a": 1}, dict, "{'a': 1}"),
        (1, Any, "1"),
    ],
)
def test_integers_become_floats_where_only_those_are_taken(
    value: Any, annotation: Any, expected: str
) -> None:
    assert repr(to_floats(value, annotation)) == expected


def test_schedules_are_found_by_their_annotation() -> None:
    points = [[0, 0.1], [5, 0.5]]
    found: dict[str, Any] = {}

    def note(key: str, schedule: Any) -> Any:
        found[key] = schedule
        return 7.0

    assert map_schedules([0.0, points], BETAS, note, "betas") == [0.0, 7.0]
    assert map_schedules(points, WEIGHT | None, note, "w") == 7.0
    assert map_schedules(points, list[list[float]], note, "pairs") == points
    assert [map_schedules(x, WEIGHT, note, "x") for x in (1, 2.5)] == [1, 2.5]
    assert found == {"betas.1": points, "w": points}
