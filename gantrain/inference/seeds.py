"""Lists of whole numbers as they are typed: "0-31", [1, 2, "5-9"], 7. Knows no torch."""

import re
from collections.abc import Iterable
from typing import TypeAlias

from gantrain.errors import ConfigError, format_value

Numbers: TypeAlias = int | str | Iterable[int | str]
LARGEST_SEED = 2**32 - 1  # of numpy.random.RandomState
MOST = 1_000_000  # numbers in one list: more is a slip of the pen


def read_numbers(key: str, value: Numbers, largest: int = LARGEST_SEED) -> list[int]:
    """The numbers in the order given, both ends of a range included.

    Args:
        key: the setting's name, for the sentence when `value` cannot be read.
        largest: the largest number allowed; the smallest is 0.

    Raises:
        ConfigError: not such a list, a number out of range, none or more than a million numbers.
    """
    parts = value.split(",") if isinstance(value, str) else value
    items = [parts] if isinstance(parts, int) else list(parts)
    found: list[int] = []
    for item in items:
        span = _span(item)
        if span is None or span.stop - 1 > largest or len(found) + len(span) > MOST:
            raise ConfigError(_wrong(key, items if len(items) > 1 else item, largest))
        found += span
    if not found:
        raise ConfigError(_wrong(key, "[]", largest))
    return found


def _span(item: object) -> range | None:
    """7 -> 7..7, "5-9" -> 5..9, None: neither."""
    if isinstance(item, bool) or not (found := re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", str(item))):
        return None
    first, last = int(found[1]), int(found[2] or found[1])
    return range(first, last + 1) if first <= last else None


def _wrong(key: str, value: object, largest: int) -> str:
    most = ", at most a million" if largest > MOST else ""
    return (
        f"{key}={format_value(value)} is not allowed: {key} must be whole numbers from 0 to "
        f"{largest}"
        f"{most}, as 7, 0-31 or [1,2,5-9]."
    )
