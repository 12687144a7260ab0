"""launcher=slurm and slurm_detached: submit each run as a Slurm job, using submitit."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from gantrain.config.train import RunConfig
from gantrain.engine.signals import EXIT_STOPPED
from gantrain.errors import ConfigError
from gantrain.io.files import write_json
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import manifest
from gantrain.sweeps.claims import claimed
from gantrain.sweeps.job import IN_USE, FirstFailure, Outcome, finished_outcome, reason
from gantrain.sweeps.launchers import slurm_queue
from gantrain.sweeps.launchers.base import CommandLine, OwnLauncher, job_return
from gantrain.sweeps.manifest import Job

RESULT_SECONDS = 1.0  # between two checks of the results
QUEUE_SECONDS = 10.0  # between two queries of Slurm's queue
# Options that submitit names itself; all others are options of sbatch
SUBMITIT_OPTIONS = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb")
SUBMITIT_OPTIONS += ("nodes", "name", "stderr_to_stdout")


class SlurmRun:
    """The function of a Slurm job: run a gantrain command, resuming it when the job is requeued.

    It is pickled when submitted and unpickled on the node, so its attributes are a file format.

    Args:
        command_line: runs `gantrain <sys.argv[1:]>` in this process.
        arguments: the command line, after `gantrain`.
        folder: that of the sweep.
        name: of the job.
    """

    def __init__(
        self, command_line: CommandLine, arguments: list[str], folder: Path, name: str
    ) -> None:
        self.command_line, self.arguments = command_line, arguments
        self.folder, self.name = folder, name

    def __call__(self) -> int:
        """Run `gantrain <arguments>` in this process, which has the signal handlers of submitit."""
        manifest.clear_failure(self.folder, self.name)
        sys.argv = ["gantrain", *self.arguments]
        try:
            return self.command_line()
        except ConfigError as error:
            manifest.record_failure(self.folder, self.name, "ConfigError", str(error))
            raise
        except SystemExit as error:
            # submitit exits with -1 after it has requeued the job.
            if error.code not in (EXIT_STOPPED, None, 0, -1):
                kind = f"exit code {error.code}"
                text = reason(self.folder / self.name)
                manifest.record_failure(self.folder, self.name, kind, text)
            raise
        except Exception as error:
            kind, text = type(error).__name__, traceback.format_exc()
            manifest.record_failure(self.folder, self.name, kind, text)
            raise

    def checkpoint(self) -> Any:
        """Return what submitit runs after a requeue: the same command."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm(OwnLauncher):
    """Submits jobs that are neither done nor queued, and waits for all of them.

    Args:
        options: those of hydra.launcher, see configs/launcher/slurm.yaml.
    """

    waits = True

    def __init__(self, **options: Any) -> None:
        plain_options = OmegaConf.to_container(OmegaConf.create(options), resolve=True)
        assert isinstance(plain_options, dict)
        self.options = {str(key): value for key, value in plain_options.items()}

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the jobs, and wait for them if `waits`.

        Args:
            job_overrides: the overrides of each job.
            initial_job_idx: number of the first job.

        Raises:
            ConfigError: Slurm rejects the jobs.
            SystemExit: 75 when interrupted while waiting.
        """
        pairs = self.pair_with_jobs(job_overrides)
        configs = self.configs_of(job for job, _ in pairs)
        with claimed(self.sweep.folder, "submitting"):
            outcomes = self._submit_missing(configs)
        unfinished = [job for job in configs if job not in outcomes]
        if self.waits:
            self._wait(unfinished, configs, outcomes)
        no_result = Outcome("submitted", None)
        return [job_return(o, outcomes.get(job, no_result).value) for job, o in pairs]

    def _submit_missing(self, configs: dict[Job, RunConfig]) -> dict[Job, Outcome]:
        """Submit what is neither done nor queued; return the outcomes of what is not submitted."""
        outcomes = self.finished_without_running(configs)
        queue = slurm_queue.require_states()
        submitted = manifest.slurm_jobs(self.sweep.folder)
        new = []
        for job in (job for job in configs if job not in outcomes):
            if (job_id := submitted.get(job.name, {}).get("job_id")) in queue:
                self.print_status(job, f"is already Slurm job {job_id} ({queue[job_id].lower()})")
            elif RunDirectory(self.sweep.folder / job.name).in_use():
                self.print_status(job, IN_USE)
                if not self.sweep.grid:  # the next choice depends on its result
                    raise SystemExit(EXIT_STOPPED)
                outcomes[job] = Outcome(IN_USE, None)
            else:
                new.append(job)
        parts = self._parts(new)
        for part in parts:  # what is submitted is recorded, also if a later part is rejected
            self._submit(part, len(parts))
        return outcomes

    def _parts(self, jobs: list[Job]) -> list[list[Job]]:
        """Divide jobs into arrays that the cluster takes, and say so if there are several."""
        if not jobs:
            return []
        size = max(1, slurm_queue.max_array_size() or len(jobs))
        parts = [jobs[start : start + size] for start in range(0, len(jobs), size)]
        if len(parts) > 1:
            print(f"Slurm takes {size} jobs at a time: submitting in {len(parts)} parts.")
        if len(parts) > (limit := self.options.get("array_parallelism") or len(jobs)):
            print(
                f"One run of each part may run at a time, {len(parts)} in all: more than "
                f"hydra.launcher.array_parallelism={limit}, which Slurm applies to each part."
            )
        return parts

    def _submit(self, jobs: Sequence[Job], parts: int) -> None:
        """Submit one of `parts` arrays with its share of array_parallelism, at least one job."""
        import submitit
        from submitit.core.utils import FailedJobError

        options = dict(self.options)
        folder = Path(options.pop("submitit_folder")).absolute()
        retries = options.pop("max_num_timeout")
        if limit := options.get("array_parallelism"):
            options["array_parallelism"] = max(1, limit // parts)
        sweep_folder = self.sweep.folder.absolute()
        runs = [
            SlurmRun(self.command_line, self.sweep.command_line(job), sweep_folder, job.name)
            for job in jobs
        ]
        try:
            executor = submitit.AutoExecutor(
                folder=folder, cluster="slurm", slurm_max_num_timeout=retries
            )
            executor.update_parameters(
                **{k if k in SUBMITIT_OPTIONS else f"slurm_{k}": v for k, v in options.items()}
            )
            with executor.batch():
                handles = [executor.submit(run) for run in runs]
        except (FailedJobError, RuntimeError, ValueError, TypeError, NameError) as error:
            raise ConfigError(f"Slurm rejects the jobs: {_sbatch_message(error)}") from error
        submitted = manifest.slurm_jobs(self.sweep.folder)
        for job, handle in zip(jobs, handles, strict=True):
            manifest.clear_failure(self.sweep.folder, job.name)
            submitted[job.name] = {
                "job_id": str(handle.job_id),
                "folder": str(handle.paths.folder),
                "submitted": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
            text = f"submitted as job {handle.job_id}; output: {handle.paths.folder}"
            self.print_status(job, text)
        write_json(self.sweep.folder / manifest.SLURM_FILE, submitted)

    def _wait(
        self, jobs: list[Job], configs: dict[Job, RunConfig], outcomes: dict[Job, Outcome]
    ) -> None:
        """Wait until each job is done, has failed or has left the queue."""
        old_times = {job: self._result_time(job) for job in jobs}
        last_query = 0.0
        times_missing = dict.fromkeys(jobs, 0)
        try:
            while waiting := [job for job in jobs if job not in outcomes]:
                time.sleep(RESULT_SECONDS)
                for job in waiting:
                    if self._result_time(job) != old_times[job] and (
                        outcome := self.existing_outcome(job, configs[job])
                    ):
                        objective = configs[job].objective
                        text = finished_outcome(self.sweep, job, objective, "done").text
                        outcomes[job] = Outcome(text, outcome.value)
                        self.print_status(job, text)
                if time.monotonic() - last_query > QUEUE_SECONDS:
                    last_query = time.monotonic()
                    self._check_queue(set(waiting) - set(outcomes), times_missing, outcomes)
        except KeyboardInterrupt:
            job_ids = [manifest.slurm_jobs(self.sweep.folder)[j.name]["job_id"] for j in waiting]
            print(
                "\nThe jobs continue without this process. Repeat the command to wait for them; "
                f"to cancel them: scancel {' '.join(job_ids)}",
                flush=True,
            )
            raise SystemExit(EXIT_STOPPED) from None

    def _check_queue(
        self, jobs: Iterable[Job], times_missing: dict[Job, int], outcomes: dict[Job, Outcome]
    ) -> None:
        """Give up jobs that are missing in the queue twice: results may appear with a delay."""
        queue = slurm_queue.states()
        if queue is None:
            return
        submitted = manifest.slurm_jobs(self.sweep.folder)
        for job in jobs:
            job_id, folder = submitted[job.name]["job_id"], submitted[job.name]["folder"]
            times_missing[job] = 0 if job_id in queue else times_missing[job] + 1
            if times_missing[job] < 2:
                continue
            if not manifest.read_failure(self.sweep.folder, job.name):
                text = f"job {job_id} left the queue without a result; see {folder}"
                manifest.record_failure(self.sweep.folder, job.name, "lost", text)
            outcomes[job] = self.failure_outcome(job)
            self.print_status(job, outcomes[job].text)
            if self.sweep.stop_on_failure:
                self._cancel([submitted[other.name] for other in jobs if other not in outcomes])
                raise FirstFailure

    def _cancel(self, records: Sequence[dict[str, str]]) -> None:
        """Cancel jobs of this folder; jobs.json may have come with a sweep of somebody else's."""
        template = Path(self.options["submitit_folder"]).resolve()
        home = next(path for path in (template, *template.parents) if "%" not in str(path))
        own = [r["job_id"] for r in records if Path(r["folder"]).resolve().is_relative_to(home)]
        slurm_queue.cancel(own)
        if others := [r["job_id"] for r in records if r["job_id"] not in own]:
            print(f"Not canceled, since their output is not in {home}: {' '.join(others)}.")

    def _result_time(self, job: Job) -> float:
        """Return when the job's result was written; 0: there is none."""
        file = self.sweep.folder / job.name / "result.json"
        return file.stat().st_mtime if file.exists() else 0.0


class SlurmDetached(Slurm):
    """Submits jobs that are neither done nor queued, and returns."""

    waits = False


def _sbatch_message(error: Exception) -> str:
    """Return the message of sbatch without Python's around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    error_lines = [line for line in lines if "error:" in line]
    return " ".join(dict.fromkeys(error_lines or lines[:3] or [type(error).__name__]))
