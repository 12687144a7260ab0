"""What a sweep leaves on disk, and what can be read from it at any time.

sweep.json          the command, the settings of every run, the runs with their own settings
<job>/              a run directory, as gantrain train makes it
failed/<job>.json   why a run could not be finished; gone when it is started again
logs/<job>.txt      what it printed (launcher=local)
jobs.json           the jobs of Slurm (launcher=slurm, slurm_detached)
table.csv           settings against results
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gantrain.errors import ConfigError
from gantrain.io.files import read_json, write_json
from gantrain.runs import status
from gantrain.sweeps.naming import job_name, short_hash

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SWEEP, QUEUED, FAILED = "sweep.json", "jobs.json", "failed"


@dataclass(frozen=True)
class Job:
    """One run of a sweep: `overrides` are those that it does not share with all others."""

    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """The content of sweep.json."""

    command: tuple[str, ...]
    common: tuple[str, ...]
    jobs: tuple[Job, ...]


def read(folder: Path) -> Record | None:
    """The sweep in `folder`, None where there is none. Raises ConfigError when it is damaged."""
    file = folder / SWEEP
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        jobs = tuple(Job(job["name"], tuple(job["overrides"])) for job in content["jobs"])
        return Record(tuple(content["command"]), tuple(content["common"]), jobs)
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{file} is damaged: delete it and repeat the command of the sweep, which writes it "
            "anew and keeps the runs."
        ) from None


def write(folder: Path, record: Record) -> None:
    jobs = [{"name": job.name, "overrides": list(job.overrides)} for job in record.jobs]
    content = {"command": list(record.command), "common": list(record.common), "jobs": jobs}
    write_json(folder / SWEEP, content)


def add(folder: Path, overrides: Sequence[str], keys: Sequence[str]) -> Job:
    """The job with these overrides, in any order; it is added to sweep.json if it is new.

    The sweep must have been written. Several processes may add at the same time.
    """
    with _locked(folder):
        record = read(folder)
        assert record is not None
        if (job := find(record.jobs, overrides)) is None:
            job = named(record.jobs, overrides, keys)
            jobs = (*record.jobs, job)
            write(folder, Record(record.command, record.common, jobs))
    return job


def find(jobs: Sequence[Job], overrides: Sequence[str]) -> Job | None:
    wanted = sorted(overrides)
    return next((job for job in jobs if sorted(job.overrides) == wanted), None)


def named(jobs: Sequence[Job], overrides: Sequence[str], keys: Sequence[str]) -> Job:
    """A new job beside `jobs`."""
    name = job_name(overrides, keys)
    if any(job.name == name for job in jobs):  # of a sweep over other keys that end the same
        name = f"{name}-{short_hash(overrides)}"
    return Job(name, tuple(overrides))


def failure(folder: Path, name: str) -> dict[str, Any] | None:
    """What is recorded about a failed job: {"kind", "text", "time"}."""
    return read_json(folder / FAILED / f"{name}.json")


def note_failure(folder: Path, name: str, kind: str, text: str) -> None:
    """`kind`: an exception's name or an exit code; `text`: for a person."""
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    write_json(folder / FAILED / f"{name}.json", {"kind": kind, "text": text, "time": when})


def forget_failure(folder: Path, name: str) -> None:
    (folder / FAILED / f"{name}.json").unlink(missing_ok=True)


def queued(folder: Path) -> dict[str, dict[str, str]]:
    """Jobs that were handed to Slurm: name -> {"job_id", "folder", "submitted"}."""
    return read_json(folder / QUEUED) or {}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[TextIO | None]:
    """One process at a time, where the file system can do that."""
    with open(folder / f".{SWEEP}.lock", "w") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def status_of(folder: Path, name: str, queue: Mapping[str, str] | None = None) -> status.State:
    """The state of a job of the sweep in `folder`. `queue`: Slurm's own state of its jobs."""
    state = status.of_run(folder / name)
    in_queue = (queue or {}).get(queued(folder).get(name, {}).get("job_id", ""))
    if state.status in (status.STOPPED, status.WAITING):
        if in_queue is not None:
            state.status = status.WAITING if in_queue == "PENDING" else status.RUNNING
        elif failure(folder, name):
            state.status = status.FAILED
    return state
