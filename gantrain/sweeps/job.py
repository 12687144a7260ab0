"""One run of a sweep: where it goes, whether it is needed, and running it in this process.

The last is what Hydra's own launcher (and those of other packages) starts.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict, read_write

from gantrain.config import train as train_config
from gantrain.config.train import RunConfig
from gantrain.engine.signals import EXIT_STOPPED
from gantrain.errors import ConfigError
from gantrain.runs import resume, status
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import manifest
from gantrain.sweeps.manifest import Job

if TYPE_CHECKING:
    from gantrain.sweeps.plan import Sweep

ELSEWHERE = "is being trained by another process, of an earlier start perhaps: left alone"


@dataclass(frozen=True)
class Outcome:
    """How a run ended, in words, and its objective (None: it has none)."""

    text: str
    value: float | None


def run(sweep: Sweep, train: Callable[[RunConfig], float | None], cfg: DictConfig) -> float | None:
    """Train what the composed `cfg` says, in the job's own directory; its objective, or None.

    A failure is recorded and does not reach the launcher: the other jobs go on. Raises SystemExit
    75 when the run was asked to stop.
    """
    job = sweep.job(list(HydraConfig.get().overrides.task))
    given: Any = HydraConfig.get().overrides
    with read_write(given):
        given.task = sweep.overrides(job)  # what the run keeps of its making
    config = placed(sweep, job, cfg)
    if known := outcome(sweep, job, config):
        print(f"{heading(sweep, job)}: {known.text}", flush=True)
        return known.value
    if RunDirectory(sweep.folder / job.name).in_use():
        print(f"{heading(sweep, job)}: {ELSEWHERE}", flush=True)
        if not sweep.grid:  # the next choice depends on it
            raise SystemExit(EXIT_STOPPED)
        return None
    print(f"\n{heading(sweep, job)}", flush=True)
    manifest.forget_failure(sweep.folder, job.name)
    try:
        value = train(config)
    except ConfigError as error:
        return _failed(sweep, job, "ConfigError", str(error))
    except SystemExit as leaving:
        if leaving.code in (EXIT_STOPPED, None, 0):
            raise
        return _failed(sweep, job, f"exit code {leaving.code}", "the reason is said above")
    except Exception as error:
        return _failed(sweep, job, type(error).__name__, traceback.format_exc())
    return value if value is not None and value == value else None


def placed(sweep: Sweep, job: Job, cfg: DictConfig) -> RunConfig:
    """The settings of `cfg`, sent to the job's directory."""
    with read_write(cfg), open_dict(cfg):
        cfg.out, cfg.name, cfg.resume = str(sweep.folder), job.name, "auto"
    return train_config.load(cfg)


def outcome(sweep: Sweep, job: Job, config: RunConfig) -> Outcome | None:
    """How a run has ended, if there is nothing left to do."""
    past = resume.find_resumable(config)
    if past and past.result:
        return ended(sweep, job, config.objective, "done already")
    if _is_final(sweep, job):
        return Outcome(
            "failed before, and later runs were chosen knowing that: it is not tried again "
            f"(delete {sweep.folder / manifest.FAILED / job.name}.json to have it tried).",
            None,
        )
    return None


def ended(sweep: Sweep, job: Job, objective: str | None, how: str) -> Outcome:
    """The outcome of a finished run."""
    name, value = status.objective(sweep.folder / job.name, objective)
    number = f", {name} {value:.4g}" if value is not None else ""
    return Outcome(f"{how}{number}", value)


def heading(sweep: Sweep, job: Job) -> str:
    """[2/6] seed-1: where in the sweep this is."""
    jobs = sweep.jobs()
    number = next((n for n, other in enumerate(jobs, 1) if other.name == job.name), 0)
    return f"[{number}/{len(jobs)}] {job.name}" if sweep.grid else f"[{number}] {job.name}"


def _is_final(sweep: Sweep, job: Job) -> bool:
    """Whether trying a failed job again would change which jobs come after it, already made.

    A sweeper that chooses by results (optuna) repeats its choices only if it sees the same results.
    """
    if sweep.grid or not manifest.failure(sweep.folder, job.name):
        return False
    jobs = sweep.jobs()
    later = jobs[next(n for n, other in enumerate(jobs) if other.name == job.name) + 1 :]
    return any((sweep.folder / other.name / "result.json").exists() for other in later)


def _failed(sweep: Sweep, job: Job, kind: str, text: str) -> None:
    manifest.note_failure(sweep.folder, job.name, kind, text)
    print(f"{heading(sweep, job)}: failed ({kind}): {text.rstrip()}", flush=True)
