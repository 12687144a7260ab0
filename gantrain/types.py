"""Annotations for the values that a config key may take. Does not import torch.

A constructor that a `_target_` names annotates its parameters with these, and `gantrain.config`
rejects wrong values before anything is imported:

    def __init__(self, *, ngf: Annotated[int, Range(1)], weight: Annotated[Schedule, Range(0)])
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Annotated, Any, TypeAlias, Union


@dataclass(frozen=True)
class Range:
    """Bounds of a number, of every number in a list, or of every value of a schedule.

    Args:
        low: lower bound; None: unbounded.
        high: upper bound; None: unbounded.
        open_low: whether `low` itself is excluded.
        open_high: whether `high` itself is excluded.
    """

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        if self.low is not None and (value < self.low or (self.open_low and value == self.low)):
            return False
        return self.high is None or value < self.high or (value == self.high and not self.open_high)

    def __str__(self) -> str:
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.open_low else 'of at least'} {self.low}")
        if self.high is not None:
            parts.append(f"{'below' if self.open_high else 'at most'} {self.high}")
        return " and ".join(parts)


Positive: TypeAlias = Annotated[float, Range(0, open_low=True)]
NotNegative: TypeAlias = Annotated[float, Range(0)]
Share: TypeAlias = Annotated[float, Range(0, 1)]
Count: TypeAlias = Annotated[int, Range(0)]
AtLeastOne: TypeAlias = Annotated[int, Range(1)]


@dataclass(frozen=True)
class KimgPoints:
    """Marks a list of [kimg, value] pairs with increasing kimg."""


@dataclass(frozen=True)
class KimgRamp:
    """Marks a mapping {base, final, kimg, shape}: from one value to another within some kimg."""


SHAPES = ("cosine", "linear")

Points: TypeAlias = Annotated[list[list[float]], KimgPoints()]
Ramp: TypeAlias = Annotated[dict[str, Any], KimgRamp()]

Schedule: TypeAlias = Union[float, Points, Ramp]  # noqa: UP007 (a runtime value, also on Python 3.10)
"""A constant; points [[kimg, value], ...] joined linearly; or a ramp {base, final, kimg, shape}."""


def is_schedule(value: Any) -> bool:
    """Return whether a plain value has the form of points or of a ramp; numbers are constants."""
    if isinstance(value, dict):
        return value.keys() == {"base", "final", "kimg", "shape"}
    return isinstance(value, list) and bool(value) and all(map(_is_point, value))


def _is_point(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2
    return is_pair and all(isinstance(number, int | float) for number in value)


def value_at(schedule: Schedule, nimg: int) -> float:
    """Evaluate a schedule after `nimg` images.

    Points are joined linearly, and constant before the first and after the last. A ramp leads from
    `base` to `final` along a line or half a cosine, and stays there.

    Args:
        schedule: a number; points [[kimg, value], ...]; or a ramp, whose `kimg` is its length.
        nimg: the images trained on.
    """
    if isinstance(schedule, dict):
        t = min(nimg / (1000 * schedule["kimg"]), 1.0)
        t = 1 - 0.5 * (1 + cos(pi * t)) if schedule["shape"] == "cosine" else t
        return float(schedule["base"] + t * (schedule["final"] - schedule["base"]))
    if isinstance(schedule, int | float):
        return float(schedule)
    kimg = nimg / 1000
    left_kimg, left = schedule[0]
    if kimg <= left_kimg:
        return float(left)
    for right_kimg, right in schedule[1:]:
        if kimg < right_kimg:
            return left + (right - left) * (kimg - left_kimg) / (right_kimg - left_kimg)
        left_kimg, left = right_kimg, right
    return float(left)


def scaled(schedule: Schedule, factor: float) -> Schedule:
    """Return a schedule with all values multiplied by a factor, such as from kimg to images."""
    if isinstance(schedule, dict):
        ends = {key: schedule[key] * factor for key in ("base", "final")}
        return {**schedule, **ends}
    if isinstance(schedule, int | float):
        return schedule * factor
    return [[kimg, value * factor] for kimg, value in schedule]
