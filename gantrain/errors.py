"""The exception that is shown to the user, and helpers for its sentences."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST_WORD = 60  # words are compared up to here
_PASSWORD = re.compile(r"(\w://)[^\s/@'\"]+@")
_QUERY = re.compile(r"(\w://[^\s?'\"]*)\?([^\s'\"]*)")
_SECRET = re.compile(r"sig|token|key|secret|credential|passw|auth|expires|policy", re.IGNORECASE)


class ConfigError(Exception):
    """One or more problems that the user can fix. Shown without a traceback; exit code 2.

    Args:
        problem: a sentence: what is wrong, the value, what is allowed, how to fix it.
        other_problems: problems found at the same time, so that all can be fixed at once.
    """

    def __init__(self, problem: str, *other_problems: str) -> None:
        self.problems: tuple[str, ...] = tuple(map(hide_secrets, (problem, *other_problems)))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class RunError(ConfigError):
    """One or more problems that ended a run after its start. Exit code 1: what is saved is intact.

    Args:
        problem: a sentence, as in ConfigError.
        other_problems: further ones.
    """


def hide_secrets(text: str) -> str:
    """Return a text whose addresses (https://...) show neither a password nor a signature."""
    if "://" not in text:
        return text
    text = _PASSWORD.sub(r"\1...@", text)
    return _QUERY.sub(lambda m: f"{m[1]}?..." if _SECRET.search(m[2]) else m[0], text)


def format_value(value: Any) -> str:
    """Return the value as a user would type it, such as "null" for None."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(format_value, value)) + "]"
    return str(value)


def shell_quote(word: str) -> str:
    """Return a word as it is typed in a shell; on Windows in the command prompt or PowerShell."""
    if sys.platform != "win32":
        return shlex.quote(word)
    if not re.search(r"[^\w@+=:./\\-]", word):
        return word
    return '"' + word.replace('"', '\\"') + '"'


def shown(override: str) -> str:
    """Return an override as it is typed in a shell, with quotes only where it needs them."""
    return shell_quote(override) if re.search(r"[\s()&;|<>$`'\"\\*?#!~]", override) else override


def counted(count: int, noun: str) -> str:
    """Return a number and its noun, such as "1 image", "2 images" or "2 entries"."""
    if count == 1:
        return f"1 {noun}"
    is_y = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{count} {noun[:-1]}ies" if is_y else f"{count} {noun}s"


def agreed(count: int, plural: str = "are") -> str:
    """Return the form of a verb for a count: "is" or "are"; "needs" or "need"."""
    if count != 1:
        return plural
    return {"are": "is", "have": "has", "do": "does"}.get(plural, f"{plural}s")


def listed(words: Sequence[str]) -> str:
    """Return words as in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), *words[-1:]] if len(words) > 1 else words)


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the candidate most similar to `word`, or None if none is similar.

    Args:
        word: what was typed.
        candidates: what may have been meant.
        cutoff: minimum similarity in [0, 1], see `similarity`.
    """
    scores = {candidate: similarity(word, candidate) for candidate in candidates}
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best is not None and scores[best] >= cutoff else None


def similarity(a: str, b: str) -> float:
    """Return how alike two words are, in [0, 1], whatever their case.

    It is difflib's ratio, or the share of letters without an edit where that is larger. Of equally
    similar words, the one with fewer edits counts a little more.
    """
    a, b = a.lower()[:LONGEST_WORD], b.lower()[:LONGEST_WORD]
    edits, longest = _edits(a, b), max(len(a), len(b), 1)
    ratio = difflib.SequenceMatcher(None, a, b).ratio()
    return max(ratio, 1 - edits / longest) - 0.001 * edits / longest


def _edits(a: str, b: str) -> int:
    """Count the insertions, deletions, substitutions and swaps of neighbours that make b of a."""
    before: list[int] = []
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[j] = min(row[j], before[j - 2] + 1)
        before, previous = previous, row
    return previous[-1]
