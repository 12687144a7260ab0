"""Query Slurm's queue for the jobs of this user."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from collections.abc import Sequence

from gantrain.engine.distributed import slurm
from gantrain.errors import ConfigError

SQUEUE_TIMEOUT = 30.0  # seconds; a busy controller answers slowly


def states() -> dict[str, str] | None:
    """Return {job id: state, such as PENDING or RUNNING}.

    The id of an array's task is such as 12_3.

    Returns:
        None if Slurm does not answer.
    """
    command = ["squeue", "-h", "-r", "-u", _user(), "-o", "%i|%T"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=SQUEUE_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if result.returncode:
        return None
    pairs = (line.strip().partition("|") for line in result.stdout.splitlines() if "|" in line)
    return {job: state for job, _, state in pairs}


def max_array_size() -> int | None:
    """Return how many jobs an array of this cluster may have; None: Slurm does not say."""
    size = slurm.cluster_setting("MaxArraySize")
    return int(size) if size.isdecimal() else None


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs that are pending or running, as far as Slurm answers.

    Args:
        jobs: their ids.
    """
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(["scancel", *jobs], capture_output=True, timeout=SQUEUE_TIMEOUT)


def require_states() -> dict[str, str]:
    """Return the same as `states`.

    Raises:
        ConfigError: Slurm does not answer.
    """
    queue = states()
    if queue is None:
        raise ConfigError(
            "squeue does not answer: is this a machine of the cluster, and is Slurm up? "
            "launcher=local runs the sweep on this machine."
        )
    return queue


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user id has no name, as in some containers
        return str(os.getuid())
