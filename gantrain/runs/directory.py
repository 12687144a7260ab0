"""Run directories: the paths of their files, and protection against overwriting."""

import json
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from gantrain.errors import ConfigError
from gantrain.io import locks
from gantrain.io.files import write_text

WRITTEN_BEFORE_CONFIG = (".lock", "environment.json", "overrides.yaml")
# What a run leaves that never got to its first checkpoint; folders as far as they are known.
WRITTEN_BEFORE_CHECKPOINT = ("config.yaml", "log.txt", "metrics.jsonl", "events.jsonl")
FOLDERS = ("tensorboard", "grids", "checkpoints", "snapshots")
JobIsGone = Callable[[str], bool]
SECONDS_UNTIL_REFUSED = 2.0  # for a signal to reach the process that is to be waited for


class RunDirectory:
    """The paths of one run.

    They are config.yaml (resolved settings), overrides.yaml (as typed), environment.json, log.txt,
    metrics.jsonl, evaluations.jsonl, events.jsonl, result.json, tensorboard/, grids/, checkpoints/,
    snapshots/ and .lock (the training process). config.yaml is written last: a run exists once it
    has this file.

    Args:
        path: the directory, which need not exist.
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
        """Create a directory.

        Args:
            out: the parent folder.
            name: the name; None: <stem>-NNN with the first free number.
            stem: the start of an automatic name.

        Raises:
            ConfigError: the directory is in use. Leftovers of a run that was killed before it
                existed do not count.
        """
        if name is not None:
            directory = cls(out / name)
            if not directory.is_unused():
                raise ConfigError(occupied_message(directory.path))
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
        """Return whether the directory may be used for a new run.

        It is missing, empty, or holds only what a run left that failed during its start, or that
        was stopped before its first checkpoint.
        """
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(map(self._is_leftover, self.path.iterdir()))

    def _is_leftover(self, path: Path) -> bool:
        name = path.name
        if path.is_dir() and not path.is_symlink():
            kept = [self.checkpoints, self.snapshots]
            return name in FOLDERS and not (path in kept and any(path.glob("[!.]*")))
        if name.startswith(".") and name.endswith((".tmp", ".takeover")):
            return True
        recorded = path.suffix == ".yaml" and name.partition(".")[0] in ("config", "overrides")
        return recorded or name in (*WRITTEN_BEFORE_CONFIG, *WRITTEN_BEFORE_CHECKPOINT)

    def clear(self) -> None:
        """Remove what an unused directory holds, except for the lock."""
        for path in self.path.iterdir():
            if path == self._lock:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def has_checkpoints(self) -> bool:
        """Return whether there are checkpoints, intact or not."""
        return any(self.checkpoints.glob("checkpoint-*.pt"))

    def lock(self, patience: float = 0, job_is_gone: JobIsGone | None = None) -> None:
        """Keep other processes from training here until `unlock` or the end of this process.

        Args:
            patience: seconds to wait for a process that has been told to end.
            job_is_gone: says of a Slurm job whether the queue no longer knows it.

        Raises:
            ConfigError: another process trains here.
        """
        start, said = time.monotonic(), False
        while owner := locks.acquire(self._lock):
            limit = max(patience if owner.is_ending else 0, SECONDS_UNTIL_REFUSED)
            if time.monotonic() - start > limit:
                if job_is_gone and owner.job and job_is_gone(owner.job):
                    print(f"{owner} of a job that has ended had {self.path}: taking it over.")
                    locks.take_over(self._lock, owner)
                    continue
                raise ConfigError(
                    f"{self.path} is being trained by {owner}: wait for it, stop it, or give "
                    f"another name=. If that process is certainly gone, delete {self._lock}."
                )
            if owner.is_ending and not said:
                print(f"{self.path}: waiting up to {limit:g} s for {owner}, which is ending.")
                said = True

    def mark_ending(self) -> None:
        """Let a process that wants to train here know that this one is about to end."""
        locks.mark_ending(self._lock)

    def unlock(self) -> None:
        """Let other processes train here."""
        locks.release(self._lock)

    def in_use(self) -> bool:
        """Return whether a process is training here, as far as the file system can tell."""
        return locks.is_held(self._lock)

    def read_config(self, number: int | None = None) -> dict[str, Any]:
        """Return the recorded settings, and "derived".

        Args:
            number: None: the latest settings; k: those before their k-th change.

        Raises:
            ConfigError: the file is damaged.
        """
        file = self.config if number is None else self.path / f"config.{number}.yaml"
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            content = None
        if not isinstance(content, dict):
            raise ConfigError(f"{file} is damaged: it must hold the settings of a run.")
        return content

    def read_result(self) -> dict[str, Any] | None:
        """Return the content of result.json, or None if the run has not reached its budget."""
        try:
            content = json.loads(self.result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) and "nimg" in content else None

    def reports(self) -> list[dict[str, Any]]:
        """Return the intact rows of metrics.jsonl."""
        lines = self.metrics.read_text().splitlines() if self.metrics.exists() else []
        return [row for line in lines if (row := _row(line))]

    def last_report(self) -> dict[str, float]:
        """Return the latest intact row of metrics.jsonl without its nimg; {} if there is none."""
        rows = self.reports()
        return {key: x for key, x in rows[-1].items() if key != "nimg"} if rows else {}

    def truncate_metrics(self, nimg: int) -> None:
        """Delete damaged lines and reports after `nimg` images, which a resumed run repeats.

        The results of `gantrain evaluate` are kept: they belong to snapshots, which are kept too.
        """
        for file in (self.metrics, self.evaluations, self.events):
            if not file.exists():
                continue
            lines = []
            for line in file.read_text().splitlines():
                row = _row(line)
                is_of_snapshot = file == self.evaluations and not row.get("training")
                if row and (is_of_snapshot or row["nimg"] <= nimg):
                    lines.append(f"{line}\n")
            write_text(file, "".join(lines))


def occupied_message(path: Path) -> str:
    """Return the sentence about a directory that is not a run."""
    return (
        f"{path} already exists, but is not a run (config.yaml is missing), and is not "
        "overwritten: give another name=, or remove it."
    )


def _row(line: str) -> dict[str, Any]:
    """Return a row of a file, or {} if a crash or a full disk cut it short."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) and "nimg" in row else {}


def environment(versions: dict[str, str]) -> dict[str, Any]:
    """Return the content of environment.json: versions, Python, system, command line."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }
