"""What Slurm's queue says about this user's jobs."""

from __future__ import annotations

import getpass
import os
import subprocess

from gantrain.errors import ConfigError

PATIENCE = 30.0  # seconds for squeue: a busy controller answers slowly


def states() -> dict[str, str] | None:
    """Job -> PENDING, RUNNING, ...; a task of an array is 12_3. None: Slurm does not answer."""
    command = ["squeue", "-h", "-r", "-u", _user(), "-o", "%i|%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    pairs = (line.strip().partition("|") for line in done.stdout.splitlines() if "|" in line)
    return {job: state for job, _, state in pairs}


def needed() -> dict[str, str]:
    """The same; raises ConfigError when Slurm does not answer."""
    found = states()
    if found is None:
        raise ConfigError(
            "squeue does not answer: is this a machine of the cluster, and is Slurm up? "
            "launcher=local runs the sweep on this machine."
        )
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this number, as in some containers
        return str(os.getuid())
