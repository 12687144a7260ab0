"""The status and the contents of a run directory; every file in it is optional."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gantrain.io.files import read_json
from gantrain.io.plain_files import load_yaml
from gantrain.runs import recorded
from gantrain.runs.directory import RunDirectory

DONE, RUNNING, STOPPED, FAILED, WAITING = "done", "running", "stopped", "failed", "waiting"
STATUSES = (DONE, RUNNING, STOPPED, FAILED, WAITING)
T = TypeVar("T")


@dataclass
class State:
    """The progress of a run.

    Attributes:
        status: one of STATUSES.
        kimg: thousands of images trained on.
        metrics: the latest values by name.
        objective: the name of its objective.
        config: its recorded settings; {}: it has not started.
        protocols: {evaluated metric ("metric/fid5k_clean"): its protocol}.
    """

    status: str
    kimg: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    objective: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)


def of_run(path: Path) -> State:
    """Return the state of a run directory."""
    directory = RunDirectory(path)
    config = _read_yaml(path / "config.yaml", dict)
    if recorded.settings_fault(config):
        config = {}
    result = recorded.result(read_json(directory.result))
    total = config.get("derived", {}).get("plan", {}).get("total", 0)
    if result.get("nimg", -1) >= total:
        objective = result.get("objective") or {}
        state = State(DONE, result["nimg"] / 1000, dict(result.get("metrics") or {}))
        state.objective = objective.get("name")
        if state.objective and objective.get("value") is not None:
            state.metrics.setdefault(state.objective, objective["value"])
    else:
        kimg, metrics = _last_report(directory.metrics)
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
    """Return the name and the value of a run's objective.

    Args:
        path: the run directory.
        name: the objective; None: the one that the run has recorded.

    Returns:
        The value is None if it is missing or NaN.
    """
    state = of_run(path)
    name = name or state.objective or ""
    value = state.metrics.get(name)
    return name, value if value is not None and value == value else None


def _last_report(file: Path) -> tuple[float, dict[str, float]]:
    """Return kimg and values of the last intact line of metrics.jsonl."""
    newest: dict[str, Any] = {"nimg": 0}
    for row in recorded.rows(file):
        newest = row
    return newest["nimg"] / 1000, {key: x for key, x in newest.items() if key != "nimg"}


def _evaluations(file: Path) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """Return the newest values by name, "metric/fid5k_clean", and their protocols."""
    newest: dict[str, tuple[float, dict[str, Any]]] = {}
    for row in recorded.rows(file):
        if "name" not in row or row["value"] is None:
            continue
        name, nimg = f"metric/{row['name']}", row.get("nimg") or 0
        if name not in newest or nimg >= newest[name][0]:
            newest[name] = (nimg, row)
    values = {name: float(row["value"]) for name, (_, row) in newest.items()}
    return values, {name: row["protocol"] for name, (_, row) in newest.items()}


def _newest_checkpoint(folder: Path) -> float:
    """Return the kimg in the name of the newest checkpoint, which may be newer than any report."""
    names = [path.stem.rpartition("-")[2] for path in folder.glob("checkpoint-*.pt")]
    return max((float(name) for name in names if re.fullmatch(r"\d+\.\d+", name)), default=0.0)


@dataclass
class Run:
    """The content of a run directory.

    Attributes:
        path: the directory.
        status: one of STATUSES.
        kimg: thousands of images trained on.
        total_kimg: the budget; 0: unknown.
        config: the recorded settings, and "derived".
        overrides: as typed.
        environment: the content of environment.json.
        reports: the rows of metrics.jsonl.
        evaluations: the rows of evaluations.jsonl.
        events: the rows of events.jsonl.
        result: the content of result.json; {}: it is not finished.
        grids: (kimg, file) of the sample grids.
    """

    path: Path
    status: str
    kimg: float
    total_kimg: float
    config: dict[str, Any]
    overrides: list[str]
    environment: dict[str, Any]
    reports: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    events: list[dict[str, Any]]
    result: dict[str, Any]
    grids: list[tuple[float, Path]] = field(default_factory=list)

    @property
    def last_report(self) -> dict[str, Any]:
        """The latest report; {} if there is none."""
        return self.reports[-1] if self.reports else {}


def read_run(path: Path) -> Run:
    """Read everything that is readable, skipping missing files and damaged lines."""
    directory = RunDirectory(path)
    state = of_run(path)
    total = state.config.get("derived", {}).get("plan", {}).get("total") or 0
    return Run(
        path=path,
        status=state.status,
        kimg=state.kimg,
        total_kimg=total / 1000,
        config=state.config,
        overrides=[str(text) for text in _read_yaml(directory.overrides, list)],
        environment=_read_object(path / "environment.json"),
        reports=list(recorded.rows(directory.metrics)),
        evaluations=list(recorded.rows(directory.evaluations)),
        events=list(recorded.rows(directory.events)),
        result=recorded.result(read_json(directory.result)),
        grids=sorted(_grids(directory.grids)),
    )


def _read_yaml(file: Path, kind: type[T]) -> T:
    """Return the content if it is a `kind`, else an empty one."""
    try:
        content = load_yaml(file)
    except (OSError, ValueError):
        return kind()
    return content if isinstance(content, kind) else kind()


def _read_object(file: Path) -> dict[str, Any]:
    content = read_json(file)
    return content if isinstance(content, dict) else {}


def _grids(folder: Path) -> Iterator[tuple[float, Path]]:
    """Yield (kimg, file)."""
    for file in folder.glob("grid-*.png"):
        kimg = file.stem.removeprefix("grid-")
        if re.fullmatch(r"\d+\.\d+", kimg):
            yield float(kimg), file
