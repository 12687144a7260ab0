"""Parse lists of integers as users type them: "0-31", [1, 2, "5-9"], 7. Imports no torch."""

import re
from collections.abc import Iterable
from typing import TypeAlias

from gantrain.errors import ConfigError, format_value

Numbers: TypeAlias = int | str | Iterable[int | str]
LARGEST_SEED = 2**32 - 1  # of numpy.random.RandomState
MAX_COUNT = 1_000_000  # numbers in one list; more is probably a typing error


def read_numbers(key: str, value: Numbers, largest: int = LARGEST_SEED) -> list[int]:
    """Parse a list of integers, keeping their order; ranges include both ends.

    Args:
        key: name of the setting, for errors.
        value: such as 7, "0-31" or [1, 2, "5-9"].
        largest: the largest number allowed; the smallest is 0.

    Raises:
        ConfigError: the value is no such list, a number is out of range, or there are none or more
            than a million numbers.
    """
    parts = value.split(",") if isinstance(value, str) else value
    items = [parts] if isinstance(parts, int) else list(parts)
    numbers: list[int] = []
    for item in items:
        span = _parse_range(item)
        if span is None or span.stop - 1 > largest or len(numbers) + len(span) > MAX_COUNT:
            raise ConfigError(_problem(key, items if len(items) > 1 else item, largest))
        numbers += span
    if not numbers:
        raise ConfigError(_problem(key, "[]", largest))
    return numbers


def _parse_range(item: object) -> range | None:
    """Parse 7 as 7..7 and "5-9" as 5..9; None: neither."""
    match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", str(item))
    if isinstance(item, bool) or match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return range(first, last + 1) if first <= last else None


def _problem(key: str, value: object, largest: int) -> str:
    at_most = ", at most a million" if largest > MAX_COUNT else ""
    return (
        f"{key}={format_value(value)} is not allowed: {key} must be whole numbers from 0 to "
        f"{largest}{at_most}, such as 7, 0-31 or [1,2,5-9]."
    )
