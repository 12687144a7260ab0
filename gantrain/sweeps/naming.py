"""Names of the runs of a sweep, made of the settings in which they differ."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

ALONE = "run"  # the name of a job without settings of its own
LONGEST_VALUE, LONGEST_NAME = 24, 120  # characters


def job_name(overrides: Sequence[str], keys: Iterable[str] = ()) -> str:
    """`["seed=0", "model.lambda_cycle=5"]` -> "seed-0_lambda_cycle-5".

    `keys`: all keys that the sweep varies; a last part that two of them share is written in full.
    The name depends on nothing else, so that the same settings have the same name for ever, and
    other settings another one. It can be a folder anywhere and a value on the command line.
    """
    pairs = [text.lstrip("+").partition("=")[::2] for text in overrides]
    labels = _labels([*keys, *(key for key, _ in pairs)])
    parts, lossless = [], True
    for key, value in pairs:
        value = re.sub(r"(?<=\de)\+(?=\d+$)", "", value)  # 1e+30 is 1e30
        shown = _shown(value)
        parts.append(f"{labels[key]}-{shown}")
        ambiguous = any(f"_{label}-" in value for label in labels.values())
        lossless = lossless and shown == value and not ambiguous and not key.startswith("~")
    name = "_".join(parts) or ALONE
    if lossless and len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 7].rstrip('-_.')}-{short_hash(overrides)}"


def short_hash(texts: Iterable[str]) -> str:
    """Six hexadecimal digits that depend on all texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:6]


def _labels(keys: Iterable[str]) -> dict[str, str]:
    """Each key's last part, or the whole key where another one ends the same."""
    keys = list(dict.fromkeys(key.lstrip("+") for key in keys))
    lasts = [re.split(r"[./@:]", key)[-1] for key in keys]
    return {
        key: _plain(last if lasts.count(last) == 1 else key)
        for key, last in zip(keys, lasts, strict=True)
    }


def _shown(value: str) -> str:
    """The value for reading: itself where it is short and plain."""
    value = value.strip("'\"")
    if re.fullmatch(r"-?\d+\.\d{5,}(e-?\d+)?", value):
        return f"{float(value):.4g}".replace("+", "")
    if "/" in value and not value.startswith("["):
        value = value.rstrip("/").rpartition("/")[2]  # a path: its last part tells most
    return _plain(value)[:LONGEST_VALUE].rstrip("-_.") or "x"


def _plain(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._-]+", text):
        return text
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")
