"""Overrides as they are typed, and what Hydra's grammar makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gantrain.config import paths
from gantrain.errors import format_value

PLAIN = re.compile(r"[A-Za-z0-9_./+-]*[A-Za-z_/][A-Za-z0-9_./+-]*")
NOT_A_TEXT = re.compile(r"(true|false|null|inf|nan|\.|[+-]?[\d_.]+(e[+-]?[\d_]+)?)", re.IGNORECASE)
QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
LEFT_ALONE = ("", "null", "???")  # the empty text, no text, and a text that is missing
SWEEP = re.compile(r"(choice|glob|sort|shuffle|range|interval|tag|extend_list)\(.*\)", re.DOTALL)


def hydra_quote(value: str) -> str:
    """Quote a value so that Hydra parses it back unchanged."""
    if PLAIN.fullmatch(value):
        return value
    # In Hydra's grammar, backslashes are escaped only in front of a quote.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', re.sub(r"(\\+)$", r"\1\1", value))
    return f'"{escaped}"'


def quote(value: str) -> str:
    """Quote a text so that Hydra reads it as a text, also 007 and true."""
    quoted = hydra_quote(value)
    return f'"{value}"' if quoted == value and NOT_A_TEXT.fullmatch(value) else quoted


def plain_text(value: object) -> str:
    """Return a plain value in Hydra's grammar: null, a number, a text, or a list of such."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(plain_text, value))}]"
    return quote(value) if isinstance(value, str) else format_value(value)


def key_of(override: str) -> str:
    """Return the key or config group that an override sets, adds or removes."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def is_path(path: str) -> bool:
    """Return whether there is a file or folder of that name."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or no path at all
        return False


def in_runs(override: str) -> str:
    """Return `resume=NAME` and `init_from=NAME` as paths in runs/, where NAME alone is a run."""
    key, _, value = override.partition("=")
    return f"{key}={paths.find_run(value)}" if key in ("resume", "init_from") else override


def as_typed(command: str, override: str, config_dir: str | None, sweep: bool) -> str:
    """Return the override with a text quoted, so that Hydra takes it as it was typed.

    Texts and paths need no quoting lesson: spaces, brackets, `&`, any script, a name such as 007.
    Other keys keep Hydra's grammar, and so do a value in quotes, null and interpolations.

    Args:
        command: the name of the command.
        override: as typed.
        config_dir: the folder of --config-dir, if any.
        sweep: whether -m was given: commas then separate the values of several runs.
    """
    key, equals, value = override.partition("=")
    name = key.lstrip("+")
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", name) or not _needs_quotes(value):
        return override
    from gantrain.config import keys  # reads the sources of all choices

    kinds = keys.annotations_of_key(command, name, config_dir)
    if kinds and all(map(keys.is_text, kinds)):
        return f"{key}={_sweep_of_texts(value) if sweep else quote(value)}"
    if kinds and all(map(keys.is_list_of_texts, kinds)):
        return f"{key}={value if sweep else _list_of_texts(value)}"
    if kinds and any(str in keys.kinds(kind) for kind in kinds) and parse(override) is None:
        return f"{key}={quote(value)}"
    return override


def parse(override: str) -> Any:
    """Return Hydra's reading of an override, or None if its grammar does not allow it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(override)
    except (HydraException, ValueError, RecursionError):  # numbers or nesting beyond Python's limit
        return None


def _needs_quotes(value: str) -> bool:
    plain = PLAIN.fullmatch(value) and value.isascii() and not NOT_A_TEXT.fullmatch(value)
    return not plain and value not in LEFT_ALONE and not QUOTED.fullmatch(value)


def _sweep_of_texts(value: str) -> str:
    if SWEEP.fullmatch(value):
        return value
    parts = value.split(",")
    return ",".join(quote(part) if _needs_quotes(part) else part for part in parts)


def _list_of_texts(value: str) -> str:
    if is_path(value):
        return quote(value)
    if value.startswith("[") and value.endswith("]"):
        if parse(f"key={value}") is not None:
            return value
        parts = (part.strip() for part in value[1:-1].split(","))
        return f"[{','.join(quote(part) if _needs_quotes(part) else part for part in parts)}]"
    # a,b is more likely a list without brackets than a text: Hydra's answer explains that
    return value if "," in value else quote(value)
