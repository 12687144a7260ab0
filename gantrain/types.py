"""Annotations for the values that a config key may take. Does not import torch.

A constructor that a `_target_` names annotates its parameters with these, and `gantrain.config`
rejects wrong values before anything is imported:

    def __init__(self, *, ngf: Annotated[int, Range(1)], weight: Annotated[Schedule, Range(0)])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias, Union


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


Points: TypeAlias = Annotated[list[list[float]], KimgPoints()]

Schedule: TypeAlias = Union[float, Points]  # noqa: UP007 (a runtime value, also on Python 3.10)
"""A constant, or points [[kimg, value], ...] joined linearly."""


def value_at(schedule: Schedule, nimg: int) -> float:
    """Evaluate a schedule after `nimg` images.

    It is linear between its points, and constant before the first and after the last.

    Args:
        schedule: a number, or points [[kimg, value], ...].
        nimg: the images trained on.
    """
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
