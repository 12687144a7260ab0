"""Hydra's override grammar, as far as gantrain writes it itself."""

from __future__ import annotations

import re


def hydra_quote(value: str) -> str:
    """A value as Hydra reads it back."""
    if re.fullmatch(r"[A-Za-z0-9_./+-]*[A-Za-z_/][A-Za-z0-9_./+-]*", value):
        return value
    # A backslash is one but before a quote, where two stand for it.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', re.sub(r"(\\+)$", r"\1\1", value))
    return f'"{escaped}"'
