"""What a run directory holds, as far as a report shows it; nothing of it need be there."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.runs import status as state
from gantrain.runs.directory import RunDirectory


@dataclass
class Run:
    """The content of a run directory."""

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
    grids: list[tuple[float, Path]] = field(default_factory=list)  # (kimg, file)

    @property
    def last(self) -> dict[str, Any]:
        """The newest report."""
        return self.reports[-1] if self.reports else {}


def read_run(path: Path) -> Run:
    """Everything that can be read; torn lines and missing files are left out."""
    import yaml

    directory = RunDirectory(path)
    found = state.of_run(path)
    total = found.config.get("derived", {}).get("plan", {}).get("total") or 0
    return Run(
        path=path,
        status=found.status,
        kimg=found.kimg,
        total_kimg=total / 1000,
        config=found.config,
        overrides=[str(text) for text in _yaml(directory.overrides, yaml) or []],
        environment=_json(path / "environment.json"),
        reports=[*_lines(directory.metrics, "nimg")],
        evaluations=[*_lines(directory.evaluations, "metric", "value")],
        events=[*_lines(path / "events.jsonl", "alarm")],
        result=_json(directory.result),
        grids=sorted(_grids(directory.grids)),
    )


def _yaml(file: Path, yaml: Any) -> Any:
    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return None


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _lines(file: Path, *needed: str) -> Iterator[dict[str, Any]]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:  # cut short by a crash
            continue
        if isinstance(row, dict) and all(key in row for key in needed):
            yield row


def _grids(folder: Path) -> Iterator[tuple[float, Path]]:
    for file in folder.glob("grid-*.png"):
        number = file.stem.removeprefix("grid-")
        if re.fullmatch(r"\d+\.\d+", number):
            yield float(number), file
