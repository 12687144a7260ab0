"""What gantrain's own launchers share, and how Hydra comes to know them."""

from __future__ import annotations

import contextlib
from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from hydra.core.plugins import Plugins
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


# Hydra makes launchers only if their names begin so. A real package there would be imported at
# every start of every Hydra program here, so the names are given to classes that lie elsewhere.
MODULE = "hydra_plugins.gantrain"


class OwnLauncher(Launcher, ABC):
    """A launcher whose runs are commands (`gantrain train ...`) and whose results are files."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context = hydra_context
        self.config = config
        self.sweep: Sweep = cast(Any, task_function).sweep

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
            if outcome := task.place(self.sweep, job, cfg):
                self.say(job, outcome.text)
                known[job] = outcome
        return known

    def say(self, job: Job, text: str) -> None:
        tell(f"{task.heading(self.sweep, job)}: {text}")

    def failed(self, job: Job) -> Outcome:
        """The outcome of a job with a recorded failure, for the terminal: its last line."""
        found = manifest.failure(self.sweep.folder, job.name) or {"kind": "unknown", "text": ""}
        last = (found["text"].strip().splitlines() or [""])[-1]
        return Outcome(f"failed ({found['kind']}): {last}", None)


def tell(text: str) -> None:
    """Print a line; a terminal that is gone must not end what has been started."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def job_return(overrides: Sequence[str], cfg: DictConfig, value: float | None) -> JobReturn:
    """For the sweeper; None counts as a failed trial with optuna."""
    done = JobReturn(overrides=list(overrides), cfg=cfg, status=JobStatus.COMPLETED)
    done.return_value = value
    return done


def register() -> None:
    """Make launcher=local, slurm and slurm_detached known to Hydra."""
    from gantrain.sweeps.launchers.local import Local
    from gantrain.sweeps.launchers.slurm import Slurm, SlurmDetached

    for launcher in (Local, Slurm, SlurmDetached):
        Plugins.instance().class_name_to_class[f"{MODULE}.{launcher.__name__}"] = launcher
