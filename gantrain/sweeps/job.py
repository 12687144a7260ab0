"""One job of a sweep: its settings, whether it still has to run, and running it in this process.

Hydra's own launcher, and those of other packages, call `run`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict, read_write

from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_run_config
from gantrain.engine.signals import EXIT_STOPPED
from gantrain.errors import ConfigError
from gantrain.runs import resume, status
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import claims, manifest
from gantrain.sweeps.manifest import Job

if TYPE_CHECKING:
    from gantrain.sweeps.plan import Sweep

IN_USE = "is being trained by another process, perhaps from an earlier start of the sweep: skipped"


class FirstFailure(SystemExit):
    """A run has failed, and stop_on_failure ends the sweep with it."""

    def __init__(self) -> None:
        super().__init__(EXIT_STOPPED)


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        text: for the user.
        value: the objective; None: there is none.
    """

    text: str
    value: float | None


def run(sweep: Sweep, train: Callable[[RunConfig], float | None], cfg: DictConfig) -> float | None:
    """Train in the job's own directory, unless the job is done or in use.

    A failure is recorded and does not reach the launcher, so that the other jobs still run.

    Args:
        sweep: the sweep.
        train: trains with checked settings and returns the objective.
        cfg: the composed config of the job.

    Returns:
        The objective, or None if there is none or it is NaN.

    Raises:
        SystemExit: 75 when the run was asked to stop.
    """
    job = sweep.job(list(HydraConfig.get().overrides.task))
    hydra_overrides: Any = HydraConfig.get().overrides
    with read_write(hydra_overrides):
        hydra_overrides.task = sweep.overrides(job)  # the run saves these as its own
    config = job_config(sweep, job, cfg)
    if outcome := existing_outcome(sweep, job, config):
        print(f"{label(sweep, job)}: {outcome.text}", flush=True)
        return outcome.value
    with claims.taken(sweep.folder, job.name) as is_free:
        if is_free and not RunDirectory(sweep.folder / job.name).in_use():
            return _train(sweep, job, config, train)
    print(f"{label(sweep, job)}: {IN_USE}", flush=True)
    if not sweep.grid:  # the next choice depends on its result
        raise SystemExit(EXIT_STOPPED)
    return None


def _train(
    sweep: Sweep, job: Job, config: RunConfig, train: Callable[[RunConfig], float | None]
) -> float | None:
    print(f"\n{label(sweep, job)}", flush=True)
    manifest.clear_failure(sweep.folder, job.name)
    try:
        value = train(config)
    except ConfigError as error:
        return _fail(sweep, job, type(error).__name__, str(error))
    except SystemExit as error:
        if error.code in (EXIT_STOPPED, None, 0):
            raise
        text = reason(sweep.folder / job.name)
        return _fail(sweep, job, f"exit code {error.code}", text)
    except Exception as error:
        return _fail(sweep, job, type(error).__name__, traceback.format_exc())
    return value if value is not None and value == value else None


def job_config(sweep: Sweep, job: Job, cfg: DictConfig) -> RunConfig:
    """Return the checked settings of `cfg` with the job's directory.

    Args:
        sweep: its folder takes the runs.
        job: its name becomes that of the run.
        cfg: as composed; changed in place.
    """
    with read_write(cfg), open_dict(cfg):
        cfg.out, cfg.name, cfg.resume = str(sweep.folder), job.name, "auto"
    return load_run_config(cfg)


def existing_outcome(sweep: Sweep, job: Job, config: RunConfig) -> Outcome | None:
    """Return the outcome of a job that need not run, else None.

    Args:
        sweep: the sweep.
        job: the job.
        config: see `job_config`.
    """
    existing = resume.find_resumable(config)
    if existing and existing.result:
        return finished_outcome(sweep, job, config.objective, "already done")
    if _is_final(sweep, job):
        file = sweep.folder / manifest.FAILED_FOLDER / f"{job.name}.json"
        return Outcome(
            "failed before, and later runs were chosen based on that, so it is not repeated "
            f"(to repeat it, delete {file}).",
            None,
        )
    return None


def finished_outcome(sweep: Sweep, job: Job, objective: str | None, text: str) -> Outcome:
    """Return the outcome of a finished run.

    Args:
        sweep: the sweep.
        job: the job.
        objective: the name of the objective; None: the default one.
        text: how it ended; the objective is appended.
    """
    name, value = status.objective(sweep.folder / job.name, objective)
    suffix = f", {name} {value:.4g}" if value is not None else ""
    return Outcome(f"{text}{suffix}", value)


def label(sweep: Sweep, job: Job) -> str:
    """Return the position and the name of the job, such as "[2/6] seed-1"."""
    jobs = sweep.jobs()
    number = next((n for n, other in enumerate(jobs, 1) if other.name == job.name), 0)
    return f"[{number}/{len(jobs)}] {job.name}" if sweep.grid else f"[{number}] {job.name}"


def reason(run: Path) -> str:
    """Return why a run ended, as its log says last.

    Args:
        run: its directory.
    """
    file = RunDirectory(run).log
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"it ended before {file} was written; its output says why"
    lines = [line for line in lines if line.strip()]
    faults = [line for line in lines if line.startswith(("ALARM", "Error"))]
    return [*lines, *faults][-1] if lines else f"{file} is empty; its output says why"


def _is_final(sweep: Sweep, job: Job) -> bool:
    """Return whether repeating a failed job would change the choice of later, finished jobs.

    A sweeper that chooses by results (Optuna) repeats its choices only if the results are the same.
    """
    if sweep.grid or not manifest.read_failure(sweep.folder, job.name):
        return False
    jobs = sweep.jobs()
    index = next(n for n, other in enumerate(jobs) if other.name == job.name)
    later_jobs = jobs[index + 1 :]
    return any((sweep.folder / other.name / "result.json").exists() for other in later_jobs)


def _fail(sweep: Sweep, job: Job, kind: str, text: str) -> None:
    manifest.record_failure(sweep.folder, job.name, kind, text)
    print(f"{label(sweep, job)}: failed ({kind}): {text.rstrip()}", flush=True)
    if sweep.stop_on_failure:
        raise FirstFailure
