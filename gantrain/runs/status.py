"""How far a run has come, read from its directory."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.io.files import read_json
from gantrain.runs.directory import RunDirectory

DONE, RUNNING, STOPPED, FAILED, WAITING = "done", "running", "stopped", "failed", "waiting"
STATUSES = (DONE, RUNNING, STOPPED, FAILED, WAITING)


@dataclass
class State:
    """kimg: how far it has come; metrics: its newest numbers; objective: the name of its own.

    protocols: of what was evaluated ("metric/fid5k_clean"), how.
    """

    status: str
    kimg: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    objective: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)


def of_run(path: Path) -> State:
    """The state of a run directory on its own."""
    directory = RunDirectory(path)
    config = _config(path)
    result = read_json(directory.result)
    total = config.get("derived", {}).get("plan", {}).get("total", 0)
    if isinstance(result, dict) and result.get("nimg", -1) >= total:
        objective = result.get("objective") or {}
        state = State(DONE, result["nimg"] / 1000, dict(result.get("metrics") or {}))
        state.objective = objective.get("name")
        if state.objective and objective.get("value") is not None:
            state.metrics.setdefault(state.objective, objective["value"])
    else:
        kimg, metrics = _newest_report(directory.metrics)
        state = State(STOPPED, max(kimg, _newest_checkpoint(directory.checkpoints)), metrics)
        state.objective = config.get("objective")
    if directory.in_use():
        state.status = RUNNING
    elif state.status == STOPPED and not config:
        state.status = WAITING
    state.config = config
    values, state.protocols = _evaluations(directory.evaluations)
    state.metrics |= values
    return state


def objective(path: Path, name: str | None) -> tuple[str, float | None]:
    """Name and number of what a sweep compares; the number is None where there is none (or NaN).

    `name`: as configured; None: the one that the run itself recorded.
    """
    state = of_run(path)
    name = name or state.objective or ""
    number = state.metrics.get(name)
    return name, number if number is not None and number == number else None


def _config(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _newest_report(file: Path) -> tuple[float, dict[str, float]]:
    """kimg and numbers of the last whole line of metrics.jsonl."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0, {}
    for line in reversed(lines):
        try:
            row = json.loads(line)
            return row.pop("nimg") / 1000, row
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut short by a crash
    return 0.0, {}


def _evaluations(file: Path) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """The newest values by name, "metric/fid5k_clean", and their protocols."""
    newest: dict[str, tuple[float, dict[str, Any]]] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}, {}
    for line in lines:
        try:
            row = json.loads(line)
            name, nimg = f"metric/{row['name']}", row.get("nimg") or 0
        except (ValueError, KeyError, TypeError):
            continue  # cut short by a crash
        if name not in newest or nimg >= newest[name][0]:
            newest[name] = (nimg, row)
    values = {name: float(row["value"]) for name, (_, row) in newest.items()}
    return values, {name: dict(row.get("protocol") or {}) for name, (_, row) in newest.items()}


def _newest_checkpoint(folder: Path) -> float:
    """kimg, from the name; reports may be further apart than checkpoints."""
    names = [path.stem.rpartition("-")[2] for path in folder.glob("checkpoint-*.pt")]
    return max((float(name) for name in names if re.fullmatch(r"\d+\.\d+", name)), default=0.0)
