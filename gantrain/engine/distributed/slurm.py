"""Asking Slurm for another turn of the job that this process is part of."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping

from gantrain.engine.distributed import environment
from gantrain.engine.signals import Handler, Signals

PATIENCE = 10.0  # seconds that the other ranks leave to rank 0
_TIMEOUT = 60.0  # seconds for scontrol: a busy controller answers slowly


def in_slurm_job(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process belongs to a Slurm job."""
    return "SLURM_JOB_ID" in (os.environ if environ is None else environ)


def slurm_job_id(environ: Mapping[str, str] | None = None) -> str:
    """The job as scontrol names it: 12, or 12_3 for a task of an array. Empty outside of Slurm."""
    env = os.environ if environ is None else environ
    if "SLURM_ARRAY_JOB_ID" in env and "SLURM_ARRAY_TASK_ID" in env:
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env.get("SLURM_JOB_ID", "")


def requeue(signals: Signals) -> str:
    """Have the job queued again; returns a sentence on what was done. Never raises by itself.

    To be called by every rank, after the state is saved and inside `listen()`: Slurm ends a
    requeued job with SIGTERM, which must not cut this short. Where submitit had set a handler, that
    handler requeues, since it also has to write what the next turn is to run; it then leaves by
    SystemExit, or by an exception when the job has had all its turns.
    """
    if not in_slurm_job():
        return "Not inside a Slurm job: nothing was requeued. Repeat the command to go on."
    if not environment.is_rank_zero():
        # A rank that leaves first can take the others with it (srun --kill-on-bad-exit).
        time.sleep(PATIENCE)
        return "Rank 0 requeues the job."
    found = _handler(signals)
    if found is None:
        return _scontrol(slurm_job_id())
    number, handler = found
    handler(number, None)
    return f"{number.name} was handed on to the handler that this process had before."


def _handler(signals: Signals) -> tuple[signal.Signals, Handler] | None:
    """The remembered handler of the signal that came, else any: another rank may have got it."""
    came = signals.received
    if came is not None and came in signals.earlier:
        return came, signals.earlier[came]
    return next(iter(signals.earlier.items()), None)


def _scontrol(name: str) -> str:
    command = ["scontrol", "requeue", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
        problem = done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        return (
            f"Job {name} could not be requeued (`{' '.join(command)}`: {problem}). "
            "Submit the same command again: it goes on in the same run directory."
        )
    return f"Job {name} is queued again and goes on by itself in the same run directory."
