"""The directory of a run: where everything lies, and that nothing is overwritten."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

import yaml

from gantrain.errors import ConfigError
from gantrain.io import locks
from gantrain.io.files import atomic_write

BEFORE = (".lock", "environment.json", "overrides.yaml")  # written before config.yaml


class RunDirectory:
    """Paths of one run.

    config.yaml (resolved), overrides.yaml (what was typed), environment.json, log.txt,
    metrics.jsonl, evaluations.jsonl, events.jsonl, result.json, tensorboard/, grids/,
    checkpoints/, snapshots/; .lock (who trains).
    With config.yaml, written last, the run has begun.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.snapshots = path / "snapshots"
        self.grids = path / "grids"
        self.tensorboard = path / "tensorboard"
        self.config = path / "config.yaml"
        self.overrides = path / "overrides.yaml"
        self.metrics = path / "metrics.jsonl"
        self.evaluations = path / "evaluations.jsonl"
        self.events = path / "events.jsonl"
        self.log = path / "log.txt"
        self.result = path / "result.json"
        self._lock = path / ".lock"

    @classmethod
    def create(cls, out: Path, name: str | None, stem: str) -> "RunDirectory":
        """Make `out/name`, or `out/<stem>-NNN` with the first free number when name is None.

        Raises:
            ConfigError: something is there already (but for what a run leaves that was killed
                before it began).
        """
        if name is not None:
            directory = cls(out / name)
            if not directory.is_unused():
                raise ConfigError(occupied(directory.path))
            directory.path.mkdir(parents=True, exist_ok=True)
            return directory
        number = 1
        while True:
            path = out / f"{stem}-{number:03d}"
            try:
                path.mkdir(parents=True)
                return cls(path)
            except FileExistsError:  # mkdir is atomic, so simultaneous runs get different numbers
                number += 1

    def is_unused(self) -> bool:
        """Whether no run has begun here, nor anything else: not there, empty, or killed at once."""
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(_is_leftover(path.name) for path in self.path.iterdir())

    def has_checkpoints(self) -> bool:
        """Whether a state to go on from was saved (whole or not)."""
        return any(self.checkpoints.glob("checkpoint-*.pt"))

    def lock(self) -> None:
        """Keep other processes from training here, until `unlock` or the end of this one.

        Raises ConfigError when another one is at it.
        """
        if owner := locks.acquire(self._lock):
            raise ConfigError(
                f"{self.path} is being trained by {owner}: wait for it, stop it, or give another "
                f"name=. If that process is certainly gone, delete {self._lock}."
            )

    def unlock(self) -> None:
        locks.release(self._lock)

    def in_use(self) -> bool:
        """Whether a process is training here now, as far as the file system can tell."""
        return locks.is_held(self._lock)

    def read_config(self, number: int | None = None) -> dict[str, Any]:
        """The settings the run was last gone on with, or before its `number`-th change of them,
        and "derived". Raises ConfigError."""
        file = self.config if number is None else self.path / f"config.{number}.yaml"
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            content = None
        if not isinstance(content, dict):
            raise ConfigError(f"{file} is damaged: it must hold the settings of a run.")
        return content

    def read_result(self) -> dict[str, Any] | None:
        """What the run recorded when it reached its budget; None: it has not (or not yet)."""
        try:
            content = json.loads(self.result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) and "nimg" in content else None

    def reports(self) -> list[dict[str, Any]]:
        """The whole rows of metrics.jsonl."""
        lines = self.metrics.read_text().splitlines() if self.metrics.exists() else []
        return [row for line in lines if (row := _row(line))]

    def last_report(self) -> dict[str, float]:
        """The newest whole row of metrics.jsonl without its nimg; {} before the first."""
        found = self.reports()
        return {key: x for key, x in found[-1].items() if key != "nimg"} if found else {}

    def write_text(self, path: Path, text: str) -> None:
        with atomic_write(path) as file:
            file.write(text.encode())

    def write_json(self, path: Path, content: Any) -> None:
        self.write_text(path, json.dumps(content, indent=2) + "\n")

    def truncate_metrics(self, nimg: int) -> None:
        """Forget the reports after `nimg` images, which the resumed run makes anew, and torn lines.

        What `gantrain evaluate` added is of snapshots, which stay.
        """
        for file in (self.metrics, self.evaluations, self.events):
            if file.exists():
                kept = []
                for line in file.read_text().splitlines():
                    row = _row(line)
                    asked = file == self.evaluations and not row.get("training")
                    if row and (asked or row["nimg"] <= nimg):
                        kept.append(f"{line}\n")
                self.write_text(file, "".join(kept))


def occupied(path: Path) -> str:
    """The sentence about a place that something else than a run takes."""
    return (
        f"{path} is there already, but is not a run (config.yaml is missing), and is not "
        "overwritten: give another name=, or remove it."
    )


def _is_leftover(name: str) -> bool:
    """A run that was killed in its first moment may leave it."""
    return name in BEFORE or (name.startswith(".") and name.endswith(".tmp"))


def _row(line: str) -> dict[str, Any]:
    """A report; {} of a line cut short by a crash or a full disk."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) and "nimg" in row else {}


def environment(
    versions: dict[str, str],
) -> dict[str, Any]:
    """What a run ran on: versions of the packages given, Python, system, command line."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }
