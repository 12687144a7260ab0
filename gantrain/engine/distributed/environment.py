"""Which of several cooperating processes this one is, read from the environment, without torch.

torchrun (and gantrain's own start of runtime.devices) sets RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR and MASTER_PORT. A task of an srun step is mapped from SLURM_PROCID and its like.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from gantrain.errors import ConfigError

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class ProcessInfo:
    """Process `rank` of `size`, the `local_rank`-th of `local_size` on this machine; where rank 0
    listens."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int
    source: str  # "torchrun" or "srun"


def from_environment(environ: Mapping[str, str] | None = None) -> ProcessInfo | None:
    """The mapping, or None for a process on its own.

    Raises ConfigError when there are several processes and they cannot be told apart.
    """
    env = os.environ if environ is None else environ
    given = [name for name in NEEDED if name in env]
    if "RANK" in given or "WORLD_SIZE" in given:
        if missing := [name for name in NEEDED if name not in env]:
            raise ConfigError(
                f"{', '.join(given)} set, but not {', '.join(missing)}: start the processes with "
                "torchrun or srun, which set all of them, or unset RANK and WORLD_SIZE."
            )
        rank, size, local = (int(env[name]) for name in NEEDED[:3])
        here = int(env.get("LOCAL_WORLD_SIZE", size))
        address, port = env["MASTER_ADDR"], int(env["MASTER_PORT"])
        return ProcessInfo(rank, size, local, here, address, port, "torchrun")
    return _from_srun(env)


def local_size() -> int:
    """Return how many ranks there are on this machine; 1 for a process on its own."""
    ranks = from_environment()
    return ranks.local_size if ranks else 1


def is_rank_zero(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process speaks for all: rank 0, or one on its own."""
    ranks = from_environment(environ)
    return ranks is None or ranks.rank == 0


def _from_srun(env: Mapping[str, str]) -> ProcessInfo | None:
    # A batch script has SLURM_NTASKS, too, but is one process: only a step counts its tasks.
    size = int(env.get("SLURM_STEP_NUM_TASKS", "1"))
    if size < 2:
        return None
    if "SLURM_PROCID" not in env or "SLURM_LOCALID" not in env:
        raise ConfigError(
            f"This srun step has {size} tasks, but SLURM_PROCID does not say which one this is: "
            "start the ranks with torchrun, or one task with runtime.devices=N."
        )
    # Steps of one job must not meet: each has a port of its own.
    job, step = int(env.get("SLURM_JOB_ID", "0")), env.get("SLURM_STEP_ID", "0")
    number = job * 7 + (int(step) if step.isdigit() else 0)
    return ProcessInfo(
        rank=int(env["SLURM_PROCID"]),
        size=size,
        local_rank=int(env["SLURM_LOCALID"]),
        local_size=_tasks_here(env, size),
        address=env.get("MASTER_ADDR") or _first_host(env.get("SLURM_STEP_NODELIST", "")),
        port=int(env.get("MASTER_PORT") or 20000 + number % 10000),
        source="srun",
    )


def _tasks_here(env: Mapping[str, str], size: int) -> int:
    """From SLURM_STEP_TASKS_PER_NODE, such as 4, 2(x3) or 2(x3),1, which lists the nodes' tasks."""
    counts: list[int] = []
    for part in env.get("SLURM_STEP_TASKS_PER_NODE", str(size)).split(","):
        tasks, _, times = part.rstrip(")").partition("(x")
        counts += [int(tasks)] * int(times or 1)
    node = int(env.get("SLURM_NODEID", "0"))
    return counts[node] if node < len(counts) else size


def _first_host(nodes: str) -> str:
    """The first name of a list of Slurm's such as n[1-3],m4."""
    if "[" not in nodes:
        return nodes.split(",")[0] or "127.0.0.1"
    shown = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True)
    if shown.returncode or not shown.stdout.strip():
        raise ConfigError(
            f"`scontrol show hostnames {nodes}` does not work here: set MASTER_ADDR to the first "
            "node's name before srun."
        )
    return shown.stdout.split()[0]
