"""Times, waits and memory of a device: events on CUDA, the system clock elsewhere.

Only this module calls CUDA directly, so that a rehearsal on a CPU runs every line of the parts.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from .trace import Profile, read_trace


def sync(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Measures the time between marks on the device, without waiting before `read`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[torch.cuda.Event | float] = []

    def mark(self) -> None:
        """Record a mark in the device's queue of work."""
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def read(self) -> list[float]:
        """Return the milliseconds from each mark to the next."""
        sync(self.device)
        return [
            (b - a) * 1e3 if isinstance(a, float) else a.elapsed_time(b)  # type: ignore[operator, arg-type]
            for a, b in zip(self._marks, self._marks[1:], strict=False)
        ]


def median_ms(
    work: Callable[[], object], device: torch.device, repeats: int = 10, warm: int = 3
) -> float:
    """Return the median time of `work()` in milliseconds.

    Args:
        work: what to time.
        device: where it runs.
        repeats: number of timed runs.
        warm: number of warm-up runs.
    """
    for _ in range(warm):
        work()
    watch = Stopwatch(device)
    watch.mark()
    for _ in range(repeats):
        work()
        watch.mark()
    return statistics.median(watch.read())


def reset_peak(device: torch.device) -> None:
    """Release unused memory, and measure the peak from now on."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def profiled(work: Callable[[], object], device: torch.device, folder: Path) -> Profile:
    """Profile the device and the host during `work()`.

    Args:
        work: what to profile.
        device: where it runs.
        folder: for a temporary trace file.
    """
    if device.type != "cuda":
        return _profile(work, device, folder, [ProfilerActivity.CPU])
    # Without the operations of the host, which would make up most of a large file.
    result = _profile(work, device, folder, [ProfilerActivity.CUDA])
    if result.kernels:
        return result
    return _profile(work, device, folder, [ProfilerActivity.CPU, ProfilerActivity.CUDA])


def _profile(
    work: Callable[[], object],
    device: torch.device,
    folder: Path,
    activities: Sequence[ProfilerActivity],
) -> Profile:
    sync(device)
    with profile(activities=activities) as recorded:
        work()
        sync(device)
    path = folder / f"trace-{time.monotonic_ns()}.json"
    recorded.export_chrome_trace(str(path))
    result = read_trace(path)
    path.unlink()
    return result


def forbid_waits(mode: str) -> None:
    """Set what torch does when the host waits for CUDA: "error", "warn" or "default"."""
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode(mode)
