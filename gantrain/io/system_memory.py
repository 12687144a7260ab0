"""Memory of the process and of the machine, as each system tells it."""

import ctypes
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY_FILE = Path("/proc/meminfo")  # on Linux


def peak_bytes() -> int:
    """Return the largest amount of physical memory that this process has used, in bytes."""
    if sys.platform == "win32":
        return int(_process_counters().peak_working_set)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes() -> float:
    """Return the bytes available without swapping; infinity if the system does not say."""
    if sys.platform == "win32":
        return float(_memory_status().available)
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(["vm_stat"], capture_output=True, check=True, timeout=10)
            return _available_of(done.stdout.decode("ascii", "replace"))
        return float("inf")
    with suppress(OSError, StopIteration):
        lines = MEMORY_FILE.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if "MemAvailable" in line)
    return float("inf")


def _available_of(answer: str) -> float:
    """Return the free and inactive bytes in what macOS's vm_stat prints; infinity without them."""
    size = re.search(r"page size of (\d+) bytes", answer)
    pages = re.findall(r"^Pages (?:free|inactive):\s+(\d+)\.", answer, re.MULTILINE)
    return float(int(size[1]) * sum(map(int, pages))) if size and pages else float("inf")


class _ProcessCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of psapi.h; DWORD and SIZE_T."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("quotas", ctypes.c_size_t * 4),
        ("pagefile", ctypes.c_size_t),
        ("peak_pagefile", ctypes.c_size_t),
    )


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of sysinfoapi.h; DWORD and DWORDLONG, of which `available` is ullAvailPhys."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 5),
    )


def _process_counters() -> _ProcessCounters:
    kernel = _kernel()
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    counters = _ProcessCounters(size=ctypes.sizeof(_ProcessCounters))
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size)
    return counters


def _memory_status() -> _MemoryStatus:
    status = _MemoryStatus(size=ctypes.sizeof(_MemoryStatus))
    _kernel().GlobalMemoryStatusEx(ctypes.byref(status))
    return status


def _kernel() -> Any:
    return ctypes.WinDLL("kernel32")  # pyright: ignore[reportAttributeAccessIssue]
