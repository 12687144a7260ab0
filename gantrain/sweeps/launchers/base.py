"""What gantrain's own launchers share."""

from __future__ import annotations

import contextlib
from abc import ABC
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from gantrain.sweeps import job as task
from gantrain.sweeps import manifest
from gantrain.sweeps.job import Outcome
from gantrain.sweeps.manifest import Job

if TYPE_CHECKING:
    from gantrain.sweeps.plan import Sweep


CommandLine = Callable[[], int]  # `gantrain <sys.argv[1:]>` in this process


class OwnLauncher(Launcher, ABC):
    """A launcher whose runs are commands (`gantrain train ...`) and whose results are files."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context = hydra_context
        self.config = config
        job = cast(Any, task_function)  # the command line's
        self.sweep: Sweep = job.sweep
        self.command_line: CommandLine = job.command_line

    def composed(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> dict[Job, DictConfig]:
        """The config of each job, without the `hydra` node."""
        setup_globals()
        found = {}
        for job, overrides in jobs:
            cfg = self.context.config_loader.load_sweep_config(self.config, list(overrides))
            with read_write(cfg), open_dict(cfg):
                del cfg["hydra"]
            found[job] = cfg
        return found

    def begin(self, job_overrides: Sequence[Sequence[str]]) -> list[tuple[Job, Sequence[str]]]:
        """Each list of overrides with its job; jobs with the same overrides are one."""
        return [(self.sweep.job(overrides), overrides) for overrides in job_overrides]

    def settle(self, configs: dict[Job, DictConfig]) -> dict[Job, Outcome]:
        """What is known of jobs without running them, said."""
        known = {}
        for job, cfg in configs.items():
            if outcome := self.outcome(job, cfg):
                self.say(job, outcome.text)
                known[job] = outcome
        return known

    def outcome(self, job: Job, cfg: DictConfig) -> Outcome | None:
        """How the run has ended, if there is nothing left to do."""
        return task.outcome(self.sweep, job, task.placed(self.sweep, job, cfg))

    def say(self, job: Job, text: str) -> None:
        print_line(f"{task.heading(self.sweep, job)}: {text}")

    def failed(self, job: Job) -> Outcome:
        """The outcome of a job with a recorded failure, for the terminal: its last line."""
        found = manifest.failure(self.sweep.folder, job.name) or {"kind": "unknown", "text": ""}
        last = (found["text"].strip().splitlines() or [""])[-1]
        return Outcome(f"failed ({found['kind']}): {last}", None)


def print_line(text: str) -> None:
    """Print a line; a terminal that is gone must not end what has been started."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def job_return(overrides: Sequence[str], cfg: DictConfig, value: float | None) -> JobReturn:
    """For the sweeper; None counts as a failed trial with optuna."""
    done = JobReturn(overrides=list(overrides), cfg=cfg, status=JobStatus.COMPLETED)
    done.return_value = value
    return done
