"""Types that tell, beside Python's own, which values a config key may take. Knows no torch.

A constructor reached through a config's `_target_` annotates its parameters with these, and
`gantrain.config` refuses wrong values before anything is imported:

    def __init__(self, *, ngf: Annotated[int, Range(1)], weight: Annotated[Schedule, Range(0)])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias, Union


@dataclass(frozen=True)
class Range:
    """Bounds of a number, of every number in a list, or of every value of a schedule."""

    low: float | None = None
    high: float | None = None
    open_low: bool = False  # low itself is not allowed
    open_high: bool = False  # high itself is not allowed

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


@dataclass(frozen=True)
class KimgPoints:
    """Marks a list of [kimg, value] pairs with rising kimg."""


Points: TypeAlias = Annotated[list[list[float]], KimgPoints()]

Schedule: TypeAlias = Union[float, Points]  # noqa: UP007 (a runtime value, also on Python 3.10)
"""A constant, or points [[kimg, value], ...] joined linearly."""


def value_at(schedule: Schedule, nimg: int) -> float:
    """The value of a number or of points [[kimg, value], ...] after `nimg` images.

    Linear between points, constant before the first and after the last.
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
