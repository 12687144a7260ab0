"""launcher=local: run jobs in parallel on this machine, each in a process with its own devices."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.utils import JobReturn

from gantrain.config.train import RunConfig
from gantrain.engine.distributed import slurm
from gantrain.engine.signals import EXIT_STOPPED, PARENT, Action, Signals, handle_signals
from gantrain.errors import ConfigError, agreed, counted
from gantrain.io import locks, processes
from gantrain.io.cores import available_cores
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import claims, manifest
from gantrain.sweeps.job import IN_USE, FirstFailure, Outcome, finished_outcome
from gantrain.sweeps.launchers.base import OwnLauncher, job_return, print_line
from gantrain.sweeps.manifest import Job

EXIT_NOT_STARTED = 2
POLL_SECONDS = 0.1  # between two checks of the processes
FAILURE_LINES = 12  # of a job's output are recorded when it fails
PROMPT = "$ gantrain "  # starts the output of each start of a job


@dataclass
class RunningJob:
    """A job that has been started.

    Attributes:
        process: its process.
        slot: index into `Local.slots`.
        started: when, by time.monotonic().
        claim: the right to run it, see `claims.take`.
    """

    process: subprocess.Popen[bytes]
    slot: int
    started: float
    claim: Path


@dataclass
class JobQueue:
    """The progress of a launch.

    Attributes:
        waiting: jobs that have not been started.
        free_slots: indices into `Local.slots`.
        running: jobs that have been started.
        unfinished: jobs that were stopped, or belong to another process.
        stopping: the largest action that signals have requested.
        failed: whether a failure has requested it.
    """

    waiting: list[Job]
    free_slots: list[int]
    running: dict[Job, RunningJob] = field(default_factory=dict)
    unfinished: list[Job] = field(default_factory=list)
    stopping: Action = Action.CONTINUE
    failed: bool = False


class Local(OwnLauncher):
    """Runs jobs in parallel on this machine.

    Args:
        jobs: how many at a time; None: as many as the devices allow.
        devices_per_job: GPUs of each job; None: runtime.devices.
    """

    def __init__(self, jobs: int | None = None, devices_per_job: int | None = None) -> None:
        self.max_parallel, self.devices_per_job = jobs, devices_per_job

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs.

        Args:
            job_overrides: the overrides of each job.
            initial_job_idx: number of the first job; later batches of a sweeper continue counting.

        Raises:
            SystemExit: 75 when stopped.
            ConfigError: there are too few devices.
        """
        pairs = self.pair_with_jobs(job_overrides)
        configs = self.configs_of(job for job, _ in pairs)
        outcomes = self.finished_without_running(configs)
        waiting = [job for job in configs if job not in outcomes]
        if waiting:
            self._assign_slots(configs, len(waiting))
            with handle_signals() as signals:
                self._run_all(waiting, configs, outcomes, signals)
        return [job_return(o, outcomes[job].value) for job, o in pairs]

    def _run_all(
        self,
        waiting: list[Job],
        configs: dict[Job, RunConfig],
        outcomes: dict[Job, Outcome],
        signals: Signals,
    ) -> None:
        queue = JobQueue(waiting, list(range(len(self.slots))))
        try:
            while queue.running or (queue.waiting and not queue.stopping):
                while queue.waiting and queue.free_slots and not queue.stopping:
                    self._start(queue, queue.waiting.pop(0), outcomes)
                self._forward(queue, signals.pop_request())
                for job in [j for j, r in queue.running.items() if r.process.poll() is not None]:
                    self._end(queue, job, configs[job], outcomes)
                time.sleep(POLL_SECONDS)
        except BaseException:  # such as a second Ctrl-C
            for running in queue.running.values():
                processes.kill_group(running.process)
                locks.release(running.claim)
            raise
        if queue.stopping is Action.REQUEUE:
            print_line(slurm.requeue(signals))
        if queue.failed:
            raise FirstFailure
        # A sweeper that chooses by results cannot continue while one is missing.
        if queue.stopping or (queue.unfinished and not self.sweep.grid):
            raise SystemExit(EXIT_STOPPED)

    def _start(self, queue: JobQueue, job: Job, outcomes: dict[Job, Outcome]) -> None:
        folder = self.sweep.folder
        claim = claims.take(folder, job.name)
        if claim is None or RunDirectory(folder / job.name).in_use():
            if claim:
                locks.release(claim)
            self._skip(queue, job, outcomes)
            return
        manifest.clear_failure(folder, job.name)
        log = self._log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gantrain", *self.sweep.command_line(job)]
        slot = queue.free_slots.pop(0)
        with open(log, "ab") as file:
            file.write(f"{PROMPT}{shlex.join(command[3:])}\n".encode())
            file.flush()
            # Only this process receives Ctrl-C, and forwards it.
            process = processes.start_in_own_group(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environment(slot),
            )
        queue.running[job] = RunningJob(process, slot, time.monotonic(), claim)
        devices = f" on device {self.slots[slot]}" if self.slots[slot] else ""
        self.print_status(job, f"started{devices}; output: {log}")

    def _end(self, queue: JobQueue, job: Job, cfg: RunConfig, outcomes: dict[Job, Outcome]) -> None:
        running = queue.running.pop(job)
        locks.release(running.claim)
        queue.free_slots.append(running.slot)
        code = running.process.returncode
        duration = _format_duration(time.monotonic() - running.started)
        if code == 0:
            text = f"done in {duration}"
            outcomes[job] = finished_outcome(self.sweep, job, cfg.objective, text)
        elif code == EXIT_STOPPED or queue.stopping:
            outcomes[job] = Outcome(f"stopped after {duration}, can be resumed", None)
            queue.unfinished.append(job)
        elif code == EXIT_NOT_STARTED and RunDirectory(self.sweep.folder / job.name).in_use():
            return self._skip(queue, job, outcomes)  # somebody trains it without the sweep
        else:
            kind = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
            manifest.record_failure(self.sweep.folder, job.name, kind, _last_lines(self._log(job)))
            outcomes[job] = self.failure_outcome(job)
        self.print_status(job, outcomes[job].text)
        if self.sweep.stop_on_failure and manifest.read_failure(self.sweep.folder, job.name):
            queue.failed = True
            self._forward(queue, Action.STOP)

    def _skip(self, queue: JobQueue, job: Job, outcomes: dict[Job, Outcome]) -> None:
        """Leave a job to the process that trains it."""
        self.print_status(job, IN_USE)
        outcomes[job] = Outcome("running", None)
        queue.unfinished.append(job)

    def _forward(self, queue: JobQueue, action: Action) -> None:
        """Forward a signal to the jobs, a SIGINT only once: a second one interrupts immediately."""
        if action is Action.SAVE:
            for running in queue.running.values():
                running.process.send_signal(signal.SIGTERM)
        elif action > queue.stopping:
            if not queue.stopping:
                for running in queue.running.values():
                    processes.ask_to_stop(running.process)
                count = len(queue.running)
                jobs = counted(count, "running job")
                print_line(f"Stopping: {jobs} {agreed(count, 'save')} the state.")
            queue.stopping = action

    def _assign_slots(self, configs: dict[Job, RunConfig], count: int) -> None:
        """Set `slots`, the visible devices of each job at a time ("" for none), and `threads`."""
        cfgs = list(configs.values())
        kinds = {str(cfg.runtime.device) for cfg in cfgs}
        per_job = self.devices_per_job or max(int(cfg.runtime.devices) for cfg in cfgs)
        if fixed := [kind for kind in kinds if ":" in kind]:
            raise ConfigError(
                f"runtime.device={fixed[0]}: launcher=local assigns devices to each run. Remove "
                "runtime.device, and select GPUs with CUDA_VISIBLE_DEVICES."
            )
        devices = [] if kinds <= {"cpu", "mps"} else visible_devices()
        cores = available_cores()
        if not devices:
            jobs = self.max_parallel or max(2, cores // 2 // per_job)
            self.slots = [""] * min(jobs, count)
        else:
            if len(devices) < per_job:
                raise ConfigError(
                    f"Each run needs {per_job} devices, but there are {len(devices)}: lower "
                    "runtime.devices or hydra.launcher.devices_per_job."
                )
            groups = [
                ",".join(devices[i : i + per_job])
                for i in range(0, len(devices) - per_job + 1, per_job)
            ]
            jobs = self.max_parallel or len(groups)
            self.slots = [groups[i % len(groups)] for i in range(min(jobs, count))]
        self.threads = max(1, cores // (len(self.slots) * (1 if devices else per_job)))

    def _environment(self, slot: int) -> dict[str, str]:
        env = {"OMP_NUM_THREADS": str(self.threads), **os.environ, PARENT: str(os.getpid())}
        if self.slots[slot]:
            env["CUDA_VISIBLE_DEVICES"] = self.slots[slot]
        return env

    def _log(self, job: Job) -> Path:
        return self.sweep.folder / "logs" / f"{job.name}.txt"


def visible_devices() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    if variable is not None:
        return [name.strip() for name in variable.split(",") if name.strip() not in ("", "-1")]
    # Ask in another process, so that this one does not occupy a device.
    program = "import torch; print(torch.cuda.device_count())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return [str(i) for i in range(int(result.stdout))] if result.stdout.strip().isdigit() else []


def _format_duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _last_lines(log: Path) -> str:
    """Return the last lines written since the latest start of the job."""
    text = log.read_text(encoding="utf-8", errors="replace")
    latest_start = f"\n{text}".rpartition(f"\n{PROMPT}")[2]
    return "\n".join(latest_start.splitlines()[1:][-FAILURE_LINES:])
