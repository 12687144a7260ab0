"""How many CPU cores this process may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")  # where Linux and containers keep limits of processes
OWN_GROUPS = Path("/proc/self/cgroup")
MAX_THREADS = 16  # that read or write images: more of them wait for the disk


def available_cores() -> int:
    """Return the number of cores it is bound to, or a lower limit of its container."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS or Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, cpu_quota() or cores)


def cpu_quota() -> int | None:
    """Return the limit of a container or a service (`docker run --cpus=2`), in whole cores.

    Threads beyond it make nothing faster: all are stopped once the share of a period is used up.

    Returns:
        At least 1; None: there is no limit.
    """
    cores = [share for group in _own_groups() if (share := _share(group))]
    return max(int(min(cores)), 1) if cores else None


def image_threads() -> int:
    """Return the number of threads that decode or encode images."""
    return min(available_cores(), MAX_THREADS)


def _own_groups() -> Iterator[Path]:
    """Yield the control groups of this process and those above them, which limit it as well."""
    with suppress(OSError):
        for line in OWN_GROUPS.read_text("utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            # Version 2 has no controllers here. In a container, the path may be the host's.
            top = CGROUPS / controllers if controllers else CGROUPS
            parts = Path(group.strip("/")).parts
            yield from (top.joinpath(*parts[:count]) for count in range(len(parts) + 1))


def _share(group: Path) -> float | None:
    """Return the cores that a control group may use, None if they are not limited."""
    with suppress(OSError, ValueError):  # version 2: "200000 100000", or "max 100000"
        quota, period = (group / "cpu.max").read_text("utf-8").split()
        return float(quota) / float(period)
    with suppress(OSError, ValueError):  # version 1: -1 is no limit
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quota, period = (float((group / name).read_text("utf-8")) for name in names)
        return quota / period if quota > 0 else None
    return None
