"""Requeue the Slurm job that this process is part of."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping

from gantrain.engine.distributed import environment
from gantrain.engine.signals import Handler, Signals

RANK_ZERO_SECONDS = 10.0  # how long the other ranks wait for rank 0 to requeue
_SCONTROL_TIMEOUT = 60.0  # seconds; a busy controller answers slowly


def in_slurm_job(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether this process belongs to a Slurm job."""
    return "SLURM_JOB_ID" in (os.environ if environ is None else environ)


def slurm_job_id(environ: Mapping[str, str] | None = None) -> str:
    """Return the id of the job as scontrol expects it, such as "12".

    Returns:
        "12_3" for a task of a job array, "" outside of Slurm.
    """
    env = os.environ if environ is None else environ
    if "SLURM_ARRAY_JOB_ID" in env and "SLURM_ARRAY_TASK_ID" in env:
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env.get("SLURM_JOB_ID", "")


def cluster_setting(name: str) -> str:
    """Return a setting of Slurm's, such as "30" of "KillWait = 30 sec"; "" if it cannot be asked.

    Args:
        name: as `scontrol show config` writes it.
    """
    text = _answer(["scontrol", "show", "config"]) or ""
    match = re.search(rf"^{name}\s*=\s*(\S+)", text, re.MULTILINE)
    return match.group(1) if match else ""


def kill_wait() -> float:
    """Return the seconds between SIGTERM and SIGKILL to a job; 30, Slurm's default, if unknown."""
    seconds = re.match(r"\d+", cluster_setting("KillWait"))
    return float(seconds.group()) if seconds else 30.0


def is_gone(job: str) -> bool:
    """Return whether a job has ended; False if the queue cannot be asked, or is another cluster's.

    Args:
        job: its id, how often it was requeued, and its cluster, as in "12.0@lab".
    """
    number, _, cluster = job.partition("@")
    job_id, _, restarts = number.partition(".")
    if cluster != (os.environ.get("SLURM_CLUSTER_NAME") or cluster_setting("ClusterName")):
        return False
    if job_id == os.environ.get("SLURM_JOB_ID"):  # this one, perhaps before it was requeued
        return int(restarts or 0) < int(os.environ.get("SLURM_RESTART_COUNT", 0))
    text = _answer(["squeue", "--noheader", "--format=%T", f"--jobs={job_id}"])
    return text is not None and not text.strip()


def _answer(command: list[str]) -> str | None:
    """Return what a command of Slurm's prints; "" for an unknown job, None if it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SCONTROL_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if result.returncode and "Invalid job id" not in result.stderr:
        return None
    return result.stdout


def requeue(signals: Signals) -> str:
    """Requeue the job. Every rank must call it after saving, while `handle_signals` is active.

    (Slurm ends a requeued job with SIGTERM, which must not interrupt this.) If submitit has
    installed a handler, that handler requeues, because it also writes what the next start is to
    run. It exits with SystemExit, or raises once the job may not be requeued again. Apart from
    that, nothing is raised.

    Args:
        signals: the signals received so far.

    Returns:
        A sentence on what was done.
    """
    if not in_slurm_job():
        return "Not inside a Slurm job: nothing was requeued. Repeat the command to resume."
    if not environment.is_rank_zero():
        # A rank that exits first can end the others (srun --kill-on-bad-exit).
        time.sleep(RANK_ZERO_SECONDS)
        return "Rank 0 requeues the job."
    previous = _previous_handler(signals)
    if previous is None:
        return _scontrol_requeue(slurm_job_id())
    # submitit's handler, see above.
    number, handler = previous
    handler(number, None)
    return f"{number.name} was passed to the previous handler of this process."


def _previous_handler(signals: Signals) -> tuple[signal.Signals, Handler] | None:
    """Return the handler for the received signal, else any: another rank may have received it."""
    received = signals.received
    if received is not None and received in signals.previous_handlers:
        return received, signals.previous_handlers[received]
    return next(iter(signals.previous_handlers.items()), None)


def _scontrol_requeue(job_id: str) -> str:
    command = ["scontrol", "requeue", job_id]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SCONTROL_TIMEOUT)
        problem = ""
        if result.returncode:
            problem = result.stderr.strip() or f"exit code {result.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        return (
            f"Job {job_id} could not be requeued (`{' '.join(command)}`: {problem}). "
            "Submit the same command again: it resumes in the same run directory."
        )
    return f"Job {job_id} is requeued and will resume by itself in the same run directory."
