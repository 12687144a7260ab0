"""The base class of gantrain's own launchers."""

from __future__ import annotations

import contextlib
from abc import ABC
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from gantrain.config.train import RunConfig
from gantrain.sweeps import manifest
from gantrain.sweeps.job import Outcome, existing_outcome, label
from gantrain.sweeps.manifest import Job

if TYPE_CHECKING:
    from gantrain.sweeps.plan import Sweep


CommandLine = Callable[[], int]  # `gantrain <sys.argv[1:]>` in this process


class OwnLauncher(Launcher, ABC):
    """A launcher whose runs are commands (`gantrain train ...`) and whose results are files."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Receive what Hydra passes to a launcher. The task is a `cli.entry.CommandTask`."""
        self.context = hydra_context
        self.config = config
        command_task = cast(Any, task_function)
        self.sweep: Sweep = command_task.sweep
        self.command_line: CommandLine = command_task.command_line

    def configs_of(self, jobs: Iterable[Job]) -> dict[Job, RunConfig]:
        """Return the checked settings of each job."""
        setup_globals()
        return {job: self.sweep.config(job) for job in jobs}

    def pair_with_jobs(
        self, job_overrides: Sequence[Sequence[str]]
    ) -> list[tuple[Job, Sequence[str]]]:
        """Return (job, overrides) for each list of overrides; the same overrides are one job."""
        return [(self.sweep.job(overrides), overrides) for overrides in job_overrides]

    def finished_without_running(self, configs: dict[Job, RunConfig]) -> dict[Job, Outcome]:
        """Return and print the outcomes of jobs that need not run."""
        outcomes = {}
        for job, config in configs.items():
            if outcome := self.existing_outcome(job, config):
                self.print_status(job, outcome.text)
                outcomes[job] = outcome
        return outcomes

    def existing_outcome(self, job: Job, config: RunConfig) -> Outcome | None:
        """Return the outcome of a job that need not run, else None.

        Args:
            job: the job.
            config: its checked settings.
        """
        return existing_outcome(self.sweep, job, config)

    def print_status(self, job: Job, text: str) -> None:
        """Print a line about a job."""
        print_line(f"{label(self.sweep, job)}: {text}")

    def failure_outcome(self, job: Job) -> Outcome:
        """Return the outcome of a job with a recorded failure: the last line of its reason."""
        failure = manifest.read_failure(self.sweep.folder, job.name)
        failure = failure or {"kind": "unknown", "text": ""}
        last_line = (failure["text"].strip().splitlines() or [""])[-1]
        return Outcome(f"failed ({failure['kind']}): {last_line}", None)


def print_line(text: str) -> None:
    """Print a line, and ignore a closed terminal: the started runs must not end with it."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def job_return(overrides: Sequence[str], value: float | None) -> JobReturn:
    """Return what a sweeper expects of a launcher. Optuna counts a value of None as a failure.

    Args:
        overrides: of the job.
        value: of the objective, or None.
    """
    result = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    result.return_value = value
    return result
