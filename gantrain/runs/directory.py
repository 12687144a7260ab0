"""Run directories: the paths of their files, and protection against overwriting."""

import platform
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError
from gantrain.io import locks
from gantrain.io.files import read_json, refuse_special_files, remove_leftovers, write_text
from gantrain.io.plain_files import is_count, json_rows, load_yaml
from gantrain.runs import recorded

WRITTEN_IN_TRAINING = ("config", "overrides", "environment", "result", "metrics")
WRITTEN_IN_TRAINING += ("evaluations", "events")
WRITTEN_BEFORE_CONFIG = (".lock", "environment.json", "overrides.yaml")
# What a run leaves that never got to its first checkpoint, and the files in its folders
WRITTEN_BEFORE_CHECKPOINT = ("config.yaml", "log.txt", "metrics.jsonl", "events.jsonl")
FOLDERS = {"tensorboard": "events.out.tfevents.*", "grids": "grid-*.png"}
FOLDERS |= {"checkpoints": "", "snapshots": "", "trackers": "*.json", "wandb": "*"}
JobIsGone = Callable[[str], bool]
SECONDS_UNTIL_REFUSED = 2.0  # for a signal to reach the process that is to be waited for


class RunDirectory:
    """The paths of one run.

    They are config.yaml (resolved settings), overrides.yaml (as typed), environment.json, log.txt,
    metrics.jsonl, evaluations.jsonl, events.jsonl, result.json, tensorboard/, trackers/ (what W&B
    and MLflow have got), wandb/, grids/, checkpoints/, snapshots/ and .lock (the training process).
    config.yaml is written last: a run exists once it has this file.

    Args:
        path: the directory, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.snapshots = path / "snapshots"
        self.grids = path / "grids"
        self.tensorboard = path / "tensorboard"
        self.trackers = path / "trackers"
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
        if not self.path.is_dir():
            return False
        never_saved = self._never_saved()
        return all(_is_leftover(path, never_saved) for path in self.path.iterdir())

    def _never_saved(self) -> bool:
        """Return whether this was a run that got to no checkpoint; one may also be lost since."""
        try:
            plan = self.read_config().get("derived", {}).get("plan")
        except ConfigError:  # of another program
            return False
        if plan is None:
            return False
        first = plan.get("checkpoint_every")
        reported = max((row["nimg"] for row in self.reports()), default=0)
        return not (is_count(first) and first) or reported < first

    def clear(self) -> None:
        """Remove what an unused directory holds, except for the lock."""
        for path in self.path.iterdir():
            if path == self._lock:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def has_checkpoints(self) -> bool:
        """Return whether there are checkpoints, intact or not."""
        return any(self.checkpoints.glob("checkpoint-*.pt"))

    def refuse_special_files(self) -> None:
        """Check that what is written into the run stays in it.

        Raises:
            ConfigError: a file or folder of the run is a symbolic link to a place outside.
        """
        refuse_special_files(self.path, *FOLDERS, "generated")

    def remove_leftovers(self) -> None:
        """Delete what interrupted saves of a training left; only the holder of the lock may.

        Other commands may write into the run at the same time, such as its report.
        """
        for folder in (self.checkpoints, self.snapshots, self.grids):
            remove_leftovers(folder)
        for path in self.path.glob(".*.tmp"):
            if path.name[1:].partition(".")[0] in WRITTEN_IN_TRAINING:
                path.unlink(missing_ok=True)

    def lock(
        self, patience: Callable[[], float] = lambda: 0, job_is_gone: JobIsGone | None = None
    ) -> None:
        """Keep other processes from training here until `unlock` or the end of this process.

        Args:
            patience: seconds to wait for a process that has been told to end; asked for only then.
            job_is_gone: says of a Slurm job whether the queue no longer knows it.

        Raises:
            ConfigError: another process trains here, or the lock is no plain file.
        """
        start, limit, said = time.monotonic(), SECONDS_UNTIL_REFUSED, False
        while owner := self._acquire():
            if owner.is_ending and not said:
                limit, said = max(patience(), limit), True
                print(f"{self.path}: waiting up to {limit:g} s for {owner}, which is ending.")
            if time.monotonic() - start > limit:
                # On this machine the system itself knows that the process is alive.
                if job_is_gone and owner.job and not owner.is_here() and job_is_gone(owner.job):
                    print(f"{owner} of a job that has ended had {self.path}: taking it over.")
                    locks.take_over(self._lock, owner)
                    continue
                raise ConfigError(
                    f"{self.path} is being trained by {owner}: wait for it, stop it, or give "
                    f"another name=. If that process is certainly gone, delete {self._lock}."
                )

    def _acquire(self) -> locks.Owner | None:
        try:
            return locks.acquire(self._lock)
        except OSError as error:
            raise ConfigError(
                f"{self._lock} cannot be locked ({error.strerror}): make {self.path} writable, or "
                "remove the lock if it is not a plain file."
            ) from None

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
            content = load_yaml(file)
            fault = recorded.settings_fault(content)
        except (OSError, ValueError) as error:
            content, fault = {}, str(error)
        if fault:
            raise ConfigError(f"{file} is damaged: it must hold the settings of a run ({fault}).")
        return content

    def read_result(self) -> dict[str, Any] | None:
        """Return the content of result.json, or None if the run has not reached its budget."""
        return recorded.result(read_json(self.result)) or None

    def reports(self) -> list[dict[str, Any]]:
        """Return the intact rows of metrics.jsonl."""
        return list(recorded.rows(self.metrics))

    def last_report(self) -> dict[str, float]:
        """Return the latest intact row of metrics.jsonl without its nimg; {} if there is none."""
        rows = self.reports()
        return {key: x for key, x in rows[-1].items() if key != "nimg"} if rows else {}

    def truncate_metrics(self, nimg: int) -> None:
        """Delete damaged lines and reports after `nimg` images, which a resumed run repeats.

        The results of `gantrain evaluate` are kept: they belong to snapshots, which are kept too.

        Raises:
            ConfigError: a file cannot be read, and is left as it is.
        """
        for file in (self.metrics, self.evaluations, self.events):
            if not file.exists():
                continue
            try:
                rows = list(json_rows(file))
            except (OSError, ValueError) as error:
                raise ConfigError(f"{file} cannot be read ({error}): move it elsewhere.") from None
            lines = []
            for line, row in rows:
                is_of_snapshot = file == self.evaluations and not row.get("training")
                counted = is_count(row.get("nimg"))
                if ("nimg" in row and is_of_snapshot) or (counted and row["nimg"] <= nimg):
                    lines.append(f"{line}\n")
            write_text(file, "".join(lines))


def _is_leftover(path: Path, never_saved: bool) -> bool:
    """Return whether a start may remove a file or folder of a run directory.

    Args:
        path: the file or folder.
        never_saved: whether the directory is that of a run without checkpoints, which may leave
            more than a start that failed.
    """
    name = path.name
    if path.is_symlink():
        return False
    if path.is_dir():
        ours = never_saved and name in FOLDERS
        return ours and all(
            _is_temporary(file) or fnmatchcase(file.name, FOLDERS[name]) for file in path.iterdir()
        )
    if not never_saved:
        return _is_temporary(path) or name in WRITTEN_BEFORE_CONFIG
    recorded = path.suffix == ".yaml" and name.partition(".")[0] in ("config", "overrides")
    known = (*WRITTEN_BEFORE_CONFIG, *WRITTEN_BEFORE_CHECKPOINT)
    return _is_temporary(path) or recorded or name in known


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith((".tmp", ".takeover"))


def occupied_message(path: Path) -> str:
    """Return the sentence about a directory that is not a run."""
    return (
        f"{path} already exists, but is not a run (config.yaml is missing), and is not "
        "overwritten: give another name=, or remove it."
    )


def environment(versions: dict[str, str]) -> dict[str, Any]:
    """Return the content of environment.json: time, command line, Python, system, versions."""
    return {
        "started": datetime.now().astimezone().isoformat(" ", "minutes"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }
