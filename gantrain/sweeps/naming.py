"""Name the runs of a sweep by the settings in which they differ."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

DEFAULT_NAME = "run"  # of a job without settings of its own
MAX_VALUE_LENGTH = 24
MAX_NAME_LENGTH = 120


def job_name(overrides: Sequence[str], keys: Iterable[str] = ()) -> str:
    """Return the name of a job, such as "seed-0_lambda_cycle-5".

    The name depends only on the arguments, so that the same settings always have the same name and
    different settings have different names. It is valid as a folder name on every system and as a
    value on the command line.

    Args:
        overrides: the job's own overrides, such as ["seed=0", "model.lambda_cycle=5"].
        keys: all keys that the sweep varies. A key is shortened to its last part unless two of them
            share it.
    """
    pairs = [text.lstrip("+").partition("=")[::2] for text in overrides]
    labels = _labels([*keys, *(key for key, _ in pairs)])
    parts = []
    is_unique = True  # whether other overrides cannot have the same name
    for key, value in pairs:
        value = re.sub(r"(?<=\de)\+(?=\d+$)", "", value)  # 1e+30 is 1e30
        label = _value_label(value)
        parts.append(f"{labels[key]}-{label}")
        is_ambiguous = any(f"_{other}-" in value for other in labels.values())
        is_unique = is_unique and label == value and not is_ambiguous and not key.startswith("~")
    name = "_".join(parts) or DEFAULT_NAME
    if is_unique and len(name) <= MAX_NAME_LENGTH:
        return name
    return f"{name[: MAX_NAME_LENGTH - 7].rstrip('-_.')}-{short_hash(overrides)}"


def short_hash(texts: Iterable[str]) -> str:
    """Return six hexadecimal digits of a hash of the texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:6]


def _labels(keys: Iterable[str]) -> dict[str, str]:
    """Return {key: its last part, or all of it where another key has the same last part}."""
    keys = list(dict.fromkeys(key.lstrip("+") for key in keys))
    last_parts = [re.split(r"[./@:]", key)[-1] for key in keys]
    return {
        key: _to_plain(last if last_parts.count(last) == 1 else key)
        for key, last in zip(keys, last_parts, strict=True)
    }


def _value_label(value: str) -> str:
    """Return the value if it is short and plain, else a shortened form."""
    value = value.strip("'\"")
    if re.fullmatch(r"-?\d+\.\d{5,}(e-?\d+)?", value):
        return f"{float(value):.4g}".replace("+", "")
    if "/" in value and not value.startswith("["):
        value = value.rstrip("/").rpartition("/")[2]  # the last part of a path says most
    return _to_plain(value)[:MAX_VALUE_LENGTH].rstrip("-_.") or "x"


def _to_plain(text: str) -> str:
    """Replace all but letters, digits, dots, underscores and hyphens."""
    if re.fullmatch(r"[A-Za-z0-9._-]+", text):
        return text
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")
