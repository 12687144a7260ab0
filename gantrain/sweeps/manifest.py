"""The files of a sweep, which can be read at any time.

sweep.json          the command, the shared settings, and the jobs with their own settings
<job>/              a run directory, as gantrain train creates it
failed/<job>.json   why a job failed; removed when it is started again
logs/<job>.txt      what it printed (launcher=local)
.claims/<what>.lock lets one start of the sweep at a time plan, submit, search, or train a job
jobs.json           the Slurm jobs (launcher=slurm, slurm_detached)
table.csv           settings and results
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError
from gantrain.io.files import read_json, write_json
from gantrain.io.plain_files import load_json
from gantrain.runs import status
from gantrain.sweeps.claims import claimed
from gantrain.sweeps.naming import job_name, short_hash

SWEEP_FILE = "sweep.json"
SLURM_FILE = "jobs.json"
FAILED_FOLDER = "failed"


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        name: its folder in that of the sweep.
        overrides: the overrides that it does not share with all other jobs.
    """

    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """The content of sweep.json.

    Attributes:
        command: the command line, after `gantrain`.
        common: the overrides of every job.
        jobs: in the order in which they were added.
    """

    command: tuple[str, ...]
    common: tuple[str, ...]
    jobs: tuple[Job, ...]


def read(folder: Path) -> Manifest | None:
    """Read sweep.json, or return None if `folder` is not a sweep.

    Raises:
        ConfigError: the file is damaged.
    """
    file = folder / SWEEP_FILE
    if not file.is_file():
        return None
    try:
        content = load_json(file)
        jobs = tuple(Job(_name(job["name"]), _texts(job["overrides"])) for job in content["jobs"])
        return Manifest(_texts(content["command"]), _texts(content["common"]), jobs)
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{file} is damaged: delete it and repeat the command of the sweep, which writes it "
            "again and keeps the runs."
        ) from None


def _name(value: Any) -> str:
    """Return the name of a job if it is one folder in that of the sweep.

    Raises:
        ValueError: it is anything else, such as a path that leads elsewhere.
    """
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w.+-]*", value):
        raise ValueError(value)
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise TypeError(values)
    return tuple(values)


def write(folder: Path, manifest: Manifest) -> None:
    """Write sweep.json atomically."""
    jobs = [{"name": job.name, "overrides": list(job.overrides)} for job in manifest.jobs]
    content = {"command": list(manifest.command), "common": list(manifest.common), "jobs": jobs}
    write_json(folder / SWEEP_FILE, content)


def add_job(folder: Path, overrides: Sequence[str], keys: Sequence[str]) -> Job:
    """Return the job with these overrides, and add it to sweep.json if it is new.

    The sweep must have been written. Several processes may add jobs at the same time.

    Args:
        folder: that of the sweep.
        overrides: the job's own overrides, in any order.
        keys: all keys that the sweep varies.
    """
    with claimed(folder, "adding a run"):
        manifest = read(folder)
        assert manifest is not None
        if (job := find_job(manifest.jobs, overrides)) is None:
            job = make_job({job.name for job in manifest.jobs}, overrides, keys)
            jobs = (*manifest.jobs, job)
            write(folder, Manifest(manifest.command, manifest.common, jobs))
    return job


def find_job(jobs: Sequence[Job], overrides: Sequence[str]) -> Job | None:
    """Return the job with these overrides, in any order, or None.

    Args:
        jobs: those of the sweep.
        overrides: key=value texts.
    """
    sorted_overrides = sorted(overrides)
    return next((job for job in jobs if sorted(job.overrides) == sorted_overrides), None)


def make_job(names: Collection[str], overrides: Sequence[str], keys: Sequence[str]) -> Job:
    """Return a new job with a name of its own; see `naming.job_name`.

    Args:
        names: those of the sweep's jobs so far.
        overrides: of the new job.
        keys: all keys that the sweep varies.
    """
    name = job_name(overrides, keys)
    # An earlier start may have varied other keys with the same last part
    if name in names:
        name = f"{name}-{short_hash(overrides)}"
    return Job(name, tuple(overrides))


def read_failure(folder: Path, name: str) -> dict[str, Any] | None:
    """Return {"kind", "text", "time"} of a failed job, or None.

    Args:
        folder: that of the sweep.
        name: of the job.
    """
    content = read_json(folder / FAILED_FOLDER / f"{name}.json")
    is_record = isinstance(content, dict) and all(
        isinstance(content.get(key), str) for key in ("kind", "text", "time")
    )
    return content if is_record else None


def record_failure(folder: Path, name: str, kind: str, text: str) -> None:
    """Record why a job failed.

    Args:
        folder: that of the sweep.
        name: of the job.
        kind: the name of an exception, or an exit code.
        text: the reason, for the user.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    write_json(folder / FAILED_FOLDER / f"{name}.json", {"kind": kind, "text": text, "time": when})


def clear_failure(folder: Path, name: str) -> None:
    """Delete the record of a failure, if there is one."""
    (folder / FAILED_FOLDER / f"{name}.json").unlink(missing_ok=True)


def slurm_jobs(folder: Path) -> dict[str, dict[str, str]]:
    """Return {name of the job: {"job_id", "folder", "submitted"}} of jobs submitted to Slurm."""
    content = read_json(folder / SLURM_FILE)
    if not isinstance(content, dict):
        return {}
    return {name: job for name, job in content.items() if _is_slurm_job(job)}


def _is_slurm_job(job: Any) -> bool:
    """Return whether a record is of a Slurm job: its id is given to commands of Slurm."""
    return (
        isinstance(job, dict)
        and all(isinstance(job.get(key), str) for key in ("job_id", "folder", "submitted"))
        and re.fullmatch(r"\d+(_\d+)?", job["job_id"]) is not None
    )


def job_state(folder: Path, name: str, queue: Mapping[str, str] | None = None) -> status.State:
    """Return the state of a job.

    Args:
        folder: that of the sweep.
        name: of the job.
        queue: {job id: state} of Slurm's queue; see `slurm_queue.states`.
    """
    state = status.of_run(folder / name)
    slurm_state = (queue or {}).get(slurm_jobs(folder).get(name, {}).get("job_id", ""))
    if state.status in (status.STOPPED, status.WAITING):
        if slurm_state is not None:
            state.status = status.WAITING if slurm_state == "PENDING" else status.RUNNING
        elif read_failure(folder, name):
            state.status = status.FAILED
    return state
