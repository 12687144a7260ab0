"""The part of Hydra's override grammar that gantrain writes itself."""

from __future__ import annotations

import re


def hydra_quote(value: str) -> str:
    """Quote a value so that Hydra parses it back unchanged."""
    if re.fullmatch(r"[A-Za-z0-9_./+-]*[A-Za-z_/][A-Za-z0-9_./+-]*", value):
        return value
    # In Hydra's grammar, backslashes are escaped only in front of a quote.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', re.sub(r"(\\+)$", r"\1\1", value))
    return f'"{escaped}"'
