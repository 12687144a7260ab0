"""What the files of a run may hold: each value that is read back has the type it is used as.

A run directory may come from somebody else, or from a disk that lost a part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gantrain.config.choices import BUILT
from gantrain.io.plain_files import is_count, is_number, json_rows

SECTIONS = ("train", "lr", "checkpoint", "evaluation", "runtime", "tracking")


def settings_fault(content: Any) -> str | None:
    """Return the first key of a config.yaml with a value of the wrong type; None: all are right."""
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return "the whole file"
    for name in (*SECTIONS, *BUILT, "derived"):
        section = content.get(name, {})
        if not (isinstance(section, dict) and all(isinstance(key, str) for key in section)):
            return name
    for name in BUILT:
        target = content.get(name, {}).get("_target_", "")
        if not isinstance(target, str):
            return f"{name}._target_"
    for key in ("name", "init_from", "objective"):
        if not isinstance(content.get(key), str | None):
            return key
    return _derived_fault(content)


def _derived_fault(content: dict[str, Any]) -> str | None:
    derived = content.get("derived", {})
    if not all(isinstance(derived.get(name, {}), dict) for name in ("plan", "data", "networks")):
        return "derived"
    if not is_count(derived.get("plan", {}).get("total", 0)):
        return "derived.plan.total"
    epochs = content.get("train", {}).get("epochs")
    if not (epochs is None or (is_number(epochs) and 0 <= epochs < 1e12)):
        return "train.epochs"
    return None


def result(content: Any) -> dict[str, Any]:
    """Return the content of a result.json; {} if it is none."""
    if not isinstance(content, dict) or not is_count(content.get("nimg")):
        return {}
    metrics, objective = content.get("metrics") or {}, content.get("objective") or {}
    if not isinstance(metrics, dict) or not isinstance(objective, dict):
        return {}
    value = objective.get("value")
    named = isinstance(objective.get("name"), str | None)
    if not named or not (value is None or is_number(value)):
        return {}
    numbers = {name: x for name, x in metrics.items() if x is None or is_number(x)}
    pairs = content.get("pairs") or {}
    if not isinstance(pairs, dict) or not all(key and _pair(x) for key, x in pairs.items()):
        return {}
    return {**content, "metrics": numbers, "objective": objective or None, "pairs": pairs}


def _pair(results: Any) -> bool:
    """Return whether a value is {"model" or "baseline": {"l1", "psnr", "ssim": number}}."""
    names = ("l1", "psnr", "ssim")
    return (
        isinstance(results, dict)
        and "model" in results
        and all(isinstance(values, dict) for values in results.values())
        and all(is_number(values.get(name)) for values in results.values() for name in names)
    )


def report_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of metrics.jsonl with its numbers only; {} if it has no count of images."""
    if not is_count(row.get("nimg")):
        return {}
    return {key: x for key, x in row.items() if x is None or is_number(x)}


def evaluation_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of evaluations.jsonl; {} if it is none."""
    fits = (
        isinstance(row.get("metric"), str)
        and isinstance(row.get("name", ""), str)
        and (row.get("value") is None or is_number(row["value"]))
        and (row.get("nimg") is None or is_count(row["nimg"]))
        and isinstance(row.get("protocol") or {}, dict)
    )
    return {**row, "protocol": row.get("protocol") or {}} if fits and "value" in row else {}


def event_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of events.jsonl; {} if it is none."""
    texts = ("alarm", "level", "where", "text", "advice", "time")
    fits = isinstance(row.get("alarm"), str) and is_count(row.get("nimg"))
    if not fits or not all(isinstance(row.get(key, ""), str) for key in texts):
        return {}
    return {"level": "", "text": "", "advice": "", **row}


READERS = {
    "metrics.jsonl": report_row,
    "evaluations.jsonl": evaluation_row,
    "events.jsonl": event_row,
}


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run's file of JSON lines, without damaged ones and wrong values.

    A file that cannot be read at all has none.
    """
    read = READERS[file.name]
    with suppress(OSError, ValueError):
        for _, row in json_rows(file):
            if checked := read(row):
                yield checked
