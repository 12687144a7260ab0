"""launcher=slurm and slurm_detached: each run a job of Slurm's, submitted through submitit."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from gantrain.engine.signals import EXIT_STOPPED
from gantrain.errors import ConfigError
from gantrain.io.files import write_json
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import job as task
from gantrain.sweeps import manifest
from gantrain.sweeps.job import Outcome
from gantrain.sweeps.launchers import slurm_queue
from gantrain.sweeps.launchers.base import CommandLine, OwnLauncher, job_return
from gantrain.sweeps.manifest import Job

LOOK = 1.0  # seconds between two looks at the results
ASK = 10.0  # seconds between two questions to Slurm
# submitit names these itself; every other option is one of sbatch's
OF_SUBMITIT = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb")
OF_SUBMITIT += ("nodes", "name", "stderr_to_stdout")


class SlurmRun:
    """What a job of Slurm's does. Pickled, and unpickled on the node; requeued, it goes on."""

    def __init__(
        self, command_line: CommandLine, arguments: list[str], folder: Path, name: str
    ) -> None:
        self.command_line, self.arguments = command_line, arguments
        self.folder, self.name = folder, name

    def __call__(self) -> int:
        """Run `gantrain <arguments>` in this process, whose signal handlers are submitit's."""
        manifest.forget_failure(self.folder, self.name)
        sys.argv = ["gantrain", *self.arguments]
        try:
            return self.command_line()
        except ConfigError as error:
            manifest.note_failure(self.folder, self.name, "ConfigError", str(error))
            raise
        except SystemExit as leaving:
            # -1: submitit has requeued the job.
            if leaving.code not in (EXIT_STOPPED, None, 0, -1):
                kind = f"exit code {leaving.code}"
                text = f"see {self.folder / self.name / 'log.txt'}"
                manifest.note_failure(self.folder, self.name, kind, text)
            raise
        except Exception as error:
            kind, text = type(error).__name__, traceback.format_exc()
            manifest.note_failure(self.folder, self.name, kind, text)
            raise

    def checkpoint(self) -> Any:
        """submitit's way to say: run the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm(OwnLauncher):
    """Submits what is neither done nor in the queue, and waits. `options`: hydra.launcher's."""

    waits = True

    def __init__(self, **options: Any) -> None:
        plain = OmegaConf.to_container(OmegaConf.create(options), resolve=True)
        assert isinstance(plain, dict)
        self.options = {str(key): value for key, value in plain.items()}

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Raises ConfigError when Slurm refuses, SystemExit 75 when interrupted while waiting."""
        pairs = self.begin(job_overrides)
        configs = self.composed(pairs)
        outcomes = self.settle(configs)
        open_jobs = [job for job in configs if job not in outcomes]
        in_queue = slurm_queue.needed()
        known = manifest.queued(self.sweep.folder)
        new = []
        for job in open_jobs:
            if (number := known.get(job.name, {}).get("job_id")) in in_queue:
                self.say(job, f"is job {number} of Slurm's already ({in_queue[number].lower()})")
            elif RunDirectory(self.sweep.folder / job.name).in_use():
                self.say(job, task.ELSEWHERE)
                if not self.sweep.grid:  # the next choice depends on it
                    raise SystemExit(EXIT_STOPPED)
                outcomes[job] = Outcome(task.ELSEWHERE, None)
            else:
                new.append(job)
        if new:
            self._submit(new)
        if self.waits:
            self._wait(open_jobs, configs, outcomes)
        nothing = Outcome("submitted", None)
        return [job_return(o, configs[job], outcomes.get(job, nothing).value) for job, o in pairs]

    def _submit(self, jobs: Sequence[Job]) -> None:
        import submitit
        from submitit.core.utils import FailedJobError

        options = dict(self.options)
        folder = Path(options.pop("submitit_folder")).absolute()
        retries = options.pop("max_num_timeout")
        where = self.sweep.folder.absolute()
        work = [
            SlurmRun(self.command_line, self.sweep.command_line(job), where, job.name)
            for job in jobs
        ]
        try:
            executor = submitit.AutoExecutor(
                folder=folder, cluster="slurm", slurm_max_num_timeout=retries
            )
            executor.update_parameters(
                **{k if k in OF_SUBMITIT else f"slurm_{k}": v for k, v in options.items()}
            )
            with executor.batch():
                submitted = [executor.submit(run) for run in work]
        except (FailedJobError, RuntimeError, ValueError, TypeError, NameError) as error:
            raise ConfigError(f"Slurm does not take the jobs: {_words(error)}") from error
        known = manifest.queued(self.sweep.folder)
        for job, handle in zip(jobs, submitted, strict=True):
            manifest.forget_failure(self.sweep.folder, job.name)
            known[job.name] = {
                "job_id": str(handle.job_id),
                "folder": str(handle.paths.folder),
                "submitted": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
            self.say(job, f"submitted as job {handle.job_id}; its output: {handle.paths.folder}")
        write_json(self.sweep.folder / manifest.QUEUED, known)

    def _wait(
        self, jobs: list[Job], configs: dict[Job, DictConfig], outcomes: dict[Job, Outcome]
    ) -> None:
        """Until each job is done, has failed or has left the queue."""
        results = {job: self._result_time(job) for job in jobs}
        asked, missing = 0.0, dict.fromkeys(jobs, 0)
        try:
            while waiting := [job for job in jobs if job not in outcomes]:
                time.sleep(LOOK)
                for job in waiting:
                    if self._result_time(job) != results[job] and (
                        found := self.outcome(job, configs[job])
                    ):
                        ended = task.ended(self.sweep, job, configs[job].objective, "done")
                        outcomes[job] = Outcome(ended.text, found.value)
                        self.say(job, ended.text)
                if time.monotonic() - asked > ASK:
                    asked = time.monotonic()
                    self._look_at_queue(set(waiting) - set(outcomes), missing, outcomes)
        except KeyboardInterrupt:
            numbers = [manifest.queued(self.sweep.folder)[j.name]["job_id"] for j in waiting]
            print(
                "\nThe jobs go on without this process. Repeat the command to wait for them; "
                f"to end them: scancel {' '.join(numbers)}",
                flush=True,
            )
            raise SystemExit(EXIT_STOPPED) from None

    def _look_at_queue(
        self, jobs: Iterable[Job], missing: dict[Job, int], outcomes: dict[Job, Outcome]
    ) -> None:
        """Give up jobs that have left the queue, at the second look: results may arrive late."""
        found = slurm_queue.states()
        if found is None:
            return
        known = manifest.queued(self.sweep.folder)
        for job in jobs:
            missing[job] = 0 if known[job.name]["job_id"] in found else missing[job] + 1
            if missing[job] < 2:
                continue
            if not manifest.failure(self.sweep.folder, job.name):
                text = f"job {known[job.name]['job_id']} left the queue without a result; see "
                manifest.note_failure(
                    self.sweep.folder, job.name, "lost", text + known[job.name]["folder"]
                )
            outcomes[job] = self.failed(job)
            self.say(job, outcomes[job].text)

    def _result_time(self, job: Job) -> float:
        file = self.sweep.folder / job.name / "result.json"
        return file.stat().st_mtime if file.exists() else 0.0


class SlurmDetached(Slurm):
    """Submits and returns."""

    waits = False


def _words(error: Exception) -> str:
    """The message of sbatch rather than Python's around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line]
    return " ".join(dict.fromkeys(told or lines[:3] or [type(error).__name__]))
