"""Read from the environment which rank this process is, without importing torch.

torchrun (and gantrain itself with runtime.devices) sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR
and MASTER_PORT. The same is derived from SLURM_PROCID and similar variables in an srun step.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from gantrain.errors import ConfigError

TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class ProcessInfo:
    """One process among several that train together.

    Attributes:
        rank: its number, from 0.
        size: the number of processes.
        local_rank: its number on this machine, from 0.
        local_size: the number of processes on this machine.
        address: the host on which rank 0 listens.
        port: the port on which rank 0 listens.
        source: what started the processes, "torchrun" or "srun".
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int
    source: str


def from_environment(environ: Mapping[str, str] | None = None) -> ProcessInfo | None:
    """Return the rank of this process, or None if it is alone.

    Args:
        environ: environment variables; None: those of the process.

    Raises:
        ConfigError: there are several processes, but the variables do not tell them apart.
    """
    env = os.environ if environ is None else environ
    present = [name for name in TORCHRUN_VARIABLES if name in env]
    # Half of the variables is a mistake, and guessing would leave ranks waiting for each other.
    if "RANK" not in present and "WORLD_SIZE" not in present:
        return _from_srun(env)
    if missing := [name for name in TORCHRUN_VARIABLES if name not in env]:
        raise ConfigError(
            f"{', '.join(present)} set, but not {', '.join(missing)}: start the processes with "
            "torchrun or srun, which set all of them, or unset RANK and WORLD_SIZE."
        )
    size = int(env["WORLD_SIZE"])
    return ProcessInfo(
        rank=int(env["RANK"]),
        size=size,
        local_rank=int(env["LOCAL_RANK"]),
        local_size=int(env.get("LOCAL_WORLD_SIZE", size)),  # absent: one machine
        address=env["MASTER_ADDR"],
        port=int(env["MASTER_PORT"]),
        source="torchrun",
    )


def local_size() -> int:
    """Return the number of ranks on this machine; 1 if this process is alone."""
    process = from_environment()
    return process.local_size if process else 1


def is_rank_zero(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether this process reports for all ranks: it is rank 0, or alone."""
    process = from_environment(environ)
    return process is None or process.rank == 0


def _from_srun(env: Mapping[str, str]) -> ProcessInfo | None:
    # SLURM_NTASKS is no help: a batch script has it too, but is a single process.
    size = int(env.get("SLURM_STEP_NUM_TASKS", "1"))
    # A step of one task is an ordinary process.
    if size < 2:
        return None
    if "SLURM_PROCID" not in env or "SLURM_LOCALID" not in env:
        raise ConfigError(
            f"This srun step has {size} tasks, but SLURM_PROCID does not say which one this is: "
            "start the ranks with torchrun, or one task with runtime.devices=N."
        )
    # The steps of one job must not connect to each other, so each derives a port of its own.
    job, step = int(env.get("SLURM_JOB_ID", "0")), env.get("SLURM_STEP_ID", "0")
    number = job * 7 + (int(step) if step.isdigit() else 0)
    return ProcessInfo(
        rank=int(env["SLURM_PROCID"]),
        size=size,
        local_rank=int(env["SLURM_LOCALID"]),
        local_size=_tasks_on_node(env, size),
        address=env.get("MASTER_ADDR") or _first_host(env.get("SLURM_STEP_NODELIST", "")),
        port=int(env.get("MASTER_PORT") or 20000 + number % 10000),
        source="srun",
    )


def _tasks_on_node(env: Mapping[str, str], size: int) -> int:
    """Return the tasks of this node by SLURM_STEP_TASKS_PER_NODE, such as 4, 2(x3) or 2(x3),1."""
    counts: list[int] = []
    for part in env.get("SLURM_STEP_TASKS_PER_NODE", str(size)).split(","):
        tasks, _, times = part.rstrip(")").partition("(x")
        counts += [int(tasks)] * int(times or 1)
    node = int(env.get("SLURM_NODEID", "0"))
    return counts[node] if node < len(counts) else size


def _first_host(nodes: str) -> str:
    """Return the first name of a node list such as n[1-3],m4."""
    # Only scontrol can expand ranges; one name, or a list of names, needs no process.
    if "[" not in nodes:
        return nodes.split(",")[0] or "127.0.0.1"
    command = ["scontrol", "show", "hostnames", nodes]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode or not result.stdout.strip():
        raise ConfigError(
            f"`{' '.join(command)}` failed: set MASTER_ADDR to the name of the first node before "
            "srun."
        )
    return result.stdout.split()[0]
