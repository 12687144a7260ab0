"""The one exception that is meant for the person at the terminal, and words for its sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ConfigError(Exception):
    """Something the user can mend: shown without a traceback, exit code 2.

    Each problem is one sentence: what, the value, what is allowed, how to fix it. Several problems
    found at the same time travel in one error, so that they can be mended in one go.
    """

    def __init__(self, problem: str, *more: str) -> None:
        self.problems: tuple[str, ...] = (problem, *more)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


def format_value(value: Any) -> str:
    """Return the value as a user would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(format_value, value)) + "]"
    return str(value)


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the candidate most like `word`, or None when none is like it.

    Args:
        cutoff: least similarity in [0, 1], as in `difflib.get_close_matches`.
    """
    found = difflib.get_close_matches(word, list(candidates), n=1, cutoff=cutoff)
    return found[0] if found else None
