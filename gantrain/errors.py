"""The exception that is shown to the user, and helpers for its sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ConfigError(Exception):
    """One or more problems that the user can fix. Shown without a traceback; exit code 2.

    Args:
        problem: a sentence: what is wrong, the value, what is allowed, how to fix it.
        other_problems: problems found at the same time, so that all can be fixed at once.
    """

    def __init__(self, problem: str, *other_problems: str) -> None:
        self.problems: tuple[str, ...] = (problem, *other_problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class RunError(ConfigError):
    """One or more problems that ended a run after its start. Exit code 1: what is saved is intact.

    Args:
        problem: a sentence, as in ConfigError.
        other_problems: further ones.
    """


def format_value(value: Any) -> str:
    """Return the value as a user would type it, such as "null" for None."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(format_value, value)) + "]"
    return str(value)


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the candidate most similar to `word`, or None if none is similar.

    Args:
        word: what was typed.
        candidates: what may have been meant.
        cutoff: minimum similarity in [0, 1], as in `difflib.get_close_matches`.
    """
    matches = difflib.get_close_matches(word, list(candidates), n=1, cutoff=cutoff)
    return matches[0] if matches else None
