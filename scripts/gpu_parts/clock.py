"""Times, waits and memory of a device: events on CUDA, the clock elsewhere.

The parts come to CUDA's own calls through here only, so that a rehearsal on a CPU runs every line
of theirs.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from .trace import Profile, read_trace


def sync(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Milliseconds between marks, as the device sees them; nothing waits before `read`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[torch.cuda.Event | float] = []

    def mark(self) -> None:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def read(self) -> list[float]:
        """The time from each mark to the next."""
        sync(self.device)
        return [
            (b - a) * 1e3 if isinstance(a, float) else a.elapsed_time(b)  # type: ignore[operator, arg-type]
            for a, b in zip(self._marks, self._marks[1:], strict=False)
        ]


def median_ms(
    work: Callable[[], object], device: torch.device, repeats: int = 10, warm: int = 3
) -> float:
    """Median time of `work` in milliseconds."""
    for _ in range(warm):
        work()
    watch = Stopwatch(device)
    watch.mark()
    for _ in range(repeats):
        work()
        watch.mark()
    return statistics.median(watch.read())


def forget_peak(device: torch.device) -> None:
    """Give unused memory back, and count the peak from here."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def profiled(work: Callable[[], object], device: torch.device, folder: Path) -> Profile:
    """What the device and the host do in `work`; `folder` holds the trace for a moment."""
    if device.type != "cuda":
        return _profiled(work, device, folder, [ProfilerActivity.CPU])
    # Without the host's operations, which would be most of a large file.
    found = _profiled(work, device, folder, [ProfilerActivity.CUDA])
    if found.kernels:
        return found
    return _profiled(work, device, folder, [ProfilerActivity.CPU, ProfilerActivity.CUDA])


def _profiled(
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
    found = read_trace(path)
    path.unlink()
    return found


def forbid_waits(mode: str) -> None:
    """ "error", "warn" or "default": what torch does when the host waits for CUDA."""
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode(mode)
