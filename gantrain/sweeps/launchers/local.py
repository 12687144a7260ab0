"""launcher=local: runs side by side on this machine, each a process with devices of its own."""

from __future__ import annotations

import contextlib
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
from omegaconf import DictConfig

from gantrain.engine.distributed import slurm
from gantrain.engine.signals import EXIT_STOPPED, PARENT, Action, Signals, handle_signals
from gantrain.errors import ConfigError
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import job as task
from gantrain.sweeps import manifest
from gantrain.sweeps.job import Outcome
from gantrain.sweeps.launchers.base import OwnLauncher, job_return, print_line
from gantrain.sweeps.manifest import Job

POLL = 0.1  # seconds between two looks at the processes
TAIL = 12  # lines of output that are kept of a failure
PROMPT = "$ gantrain "  # begins the output of each start


@dataclass
class Running:
    """A run that has been started."""

    process: subprocess.Popen[bytes]
    slot: int
    started: float


@dataclass
class JobQueue:
    """What is going on: jobs to start, jobs started, free slots, jobs left unfinished."""

    waiting: list[Job]
    free: list[int]
    running: dict[Job, Running] = field(default_factory=dict)
    left: list[Job] = field(default_factory=list)
    stopping: Action = Action.GO_ON


class Local(OwnLauncher):
    """`jobs` at a time, None: what the devices allow; `devices_per_job` None: runtime.devices."""

    def __init__(self, jobs: int | None = None, devices_per_job: int | None = None) -> None:
        self.at_once, self.devices_per_job = jobs, devices_per_job

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run them all. Raises SystemExit 75 when stopped, ConfigError for too few devices."""
        pairs = self.begin(job_overrides)
        configs = self.composed(pairs)
        outcomes = self.settle(configs)
        waiting = [job for job in configs if job not in outcomes]
        if waiting:
            self._deal(configs, len(waiting))
            with handle_signals() as signals:
                self._work(waiting, configs, outcomes, signals)
        return [job_return(o, configs[job], outcomes[job].value) for job, o in pairs]

    def _work(
        self,
        waiting: list[Job],
        configs: dict[Job, DictConfig],
        outcomes: dict[Job, Outcome],
        signals: Signals,
    ) -> None:
        desk = JobQueue(waiting, list(range(len(self.slots))))
        try:
            while desk.running or (desk.waiting and not desk.stopping):
                while desk.waiting and desk.free and not desk.stopping:
                    self._start(desk, desk.waiting.pop(0), outcomes)
                self._pass_on(desk, signals.take())
                for job in [j for j, r in desk.running.items() if r.process.poll() is not None]:
                    self._end(desk, job, configs[job], outcomes)
                time.sleep(POLL)
        except BaseException:  # a second Ctrl-C: at once
            for running in desk.running.values():
                _kill(running.process)
            raise
        if desk.stopping is Action.REQUEUE:
            print_line(slurm.requeue(signals))
        # A sweeper that goes by results cannot go on without one that is still to come.
        if desk.stopping or (desk.left and not self.sweep.grid):
            raise SystemExit(EXIT_STOPPED)

    def _start(self, desk: JobQueue, job: Job, outcomes: dict[Job, Outcome]) -> None:
        folder = self.sweep.folder
        if RunDirectory(folder / job.name).in_use():
            self.say(job, task.ELSEWHERE)
            outcomes[job] = Outcome("running", None)
            desk.left.append(job)
            return
        manifest.forget_failure(folder, job.name)
        log = self._log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gantrain", *self.sweep.command_line(job)]
        slot = desk.free.pop(0)
        with open(log, "ab") as file:
            file.write(f"{PROMPT}{shlex.join(command[3:])}\n".encode())
            file.flush()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environment(slot),
                start_new_session=True,  # Ctrl-C comes to this process alone, which passes it on
            )
        desk.running[job] = Running(process, slot, time.monotonic())
        devices = f" on device {self.slots[slot]}" if self.slots[slot] else ""
        self.say(job, f"started{devices}; its output: {log}")

    def _end(self, desk: JobQueue, job: Job, cfg: DictConfig, outcomes: dict[Job, Outcome]) -> None:
        running = desk.running.pop(job)
        desk.free.append(running.slot)
        code = running.process.returncode
        took = _duration(time.monotonic() - running.started)
        if code == 0:
            outcomes[job] = task.ended(self.sweep, job, cfg.objective, f"done in {took}")
        elif code == EXIT_STOPPED or desk.stopping:
            outcomes[job] = Outcome(f"stopped after {took}, to be gone on with", None)
            desk.left.append(job)
        else:
            kind = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
            manifest.note_failure(self.sweep.folder, job.name, kind, _tail(self._log(job)))
            outcomes[job] = self.failed(job)
        self.say(job, outcomes[job].text)

    def _pass_on(self, desk: JobQueue, action: Action) -> None:
        """Hand a signal on to the runs; each only once, as a second Ctrl-C interrupts at once."""
        if action is Action.SAVE:
            for running in desk.running.values():
                running.process.send_signal(signal.SIGTERM)
        elif action > desk.stopping:
            if not desk.stopping:
                for running in desk.running.values():
                    running.process.send_signal(signal.SIGINT)
                count = len(desk.running)
                print_line(f"Stopping: {count} running, to save their state.")
            desk.stopping = action

    def _deal(self, configs: dict[Job, DictConfig], count: int) -> None:
        """slots: for each run at a time the devices it sees ("" for none)."""
        cfgs = list(configs.values())
        kinds = {str(cfg.runtime.device) for cfg in cfgs}
        per_job = self.devices_per_job or max(int(cfg.runtime.devices) for cfg in cfgs)
        if fixed := [kind for kind in kinds if ":" in kind]:
            raise ConfigError(
                f"runtime.device={fixed[0]}: launcher=local gives each run devices of its own; "
                "leave runtime.device out, and choose devices by CUDA_VISIBLE_DEVICES."
            )
        devices = [] if kinds <= {"cpu", "mps"} else visible_devices()
        cores = available_cores()
        if not devices:
            jobs = self.at_once or max(2, cores // 2 // per_job)
            self.slots = [""] * min(jobs, count)
        else:
            if len(devices) < per_job:
                raise ConfigError(
                    f"Each run takes {per_job} devices, and there are {len(devices)}: set "
                    "runtime.devices or hydra.launcher.devices_per_job to less."
                )
            groups = [
                ",".join(devices[i : i + per_job])
                for i in range(0, len(devices) - per_job + 1, per_job)
            ]
            jobs = self.at_once or len(groups)
            self.slots = [groups[i % len(groups)] for i in range(min(jobs, count))]
        self.threads = max(1, cores // (len(self.slots) * (1 if devices else per_job)))

    def _environment(self, slot: int) -> dict[str, str]:
        found = {"OMP_NUM_THREADS": str(self.threads), **os.environ, PARENT: str(os.getpid())}
        if self.slots[slot]:
            found["CUDA_VISIBLE_DEVICES"] = self.slots[slot]
        return found

    def _log(self, job: Job) -> Path:
        return self.sweep.folder / "logs" / f"{job.name}.txt"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it with its ranks and data workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def visible_devices() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    # In a process of its own: this one must not hold a device.
    count = "import torch; print(torch.cuda.device_count())"
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True)
    return [str(i) for i in range(int(done.stdout))] if done.stdout.strip().isdigit() else []


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _tail(log: Path) -> str:
    """The last lines that the newest start has written."""
    text = log.read_text(encoding="utf-8", errors="replace")
    newest = f"\n{text}".rpartition(f"\n{PROMPT}")[2]
    return "\n".join(newest.splitlines()[1:][-TAIL:])
