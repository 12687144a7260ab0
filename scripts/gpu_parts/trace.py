"""Read profiles from the Chrome traces that torch.profiler writes."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")


@dataclass
class Profile:
    """Counts and times of one profile.

    Attributes:
        kernels: how many were launched on the device.
        busy_ms: time in which the device did anything.
        calls: counts of calls of the CUDA runtime, by name.
        copies: counts by direction: "HtoD", "DtoH", "DtoD", "HtoH".
        pageable: how many copies are from or to pageable memory.
        top: milliseconds by name, of kernels on a device, else of operations.
    """

    kernels: int = 0
    busy_ms: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    pageable: int = 0
    top: Counter[str] = field(default_factory=Counter)

    @property
    def waits(self) -> int:
        """Calls that wait for a stream or an event; the profiler itself waits for the device."""
        return self.calls["cudaStreamSynchronize"] + self.calls["cudaEventSynchronize"]


def read_trace(path: Path) -> Profile:
    """Read a file written by `export_chrome_trace`."""
    return summed(json.loads(path.read_text(errors="replace"))["traceEvents"])


def summed(events: Iterable[dict[str, Any]]) -> Profile:
    """Sum the counts and times of the events in a Chrome trace, which are in microseconds."""
    profile = Profile()
    spans: list[tuple[float, float]] = []
    operations: Counter[str] = Counter()
    for event in events:
        if event.get("ph") != "X":
            continue
        kind, name = event.get("cat"), str(event.get("name"))
        start, length = float(event["ts"]), float(event.get("dur", 0))
        if kind in ON_DEVICE:
            spans.append((start, start + length))
            profile.top[name] += length / 1e3  # type: ignore[assignment]
        if kind == "kernel":
            profile.kernels += 1
        elif kind == "gpu_memcpy":
            profile.copies[direction(name)] += 1
            profile.pageable += "Pageable" in name
        elif kind in ("cuda_runtime", "cuda_driver"):
            profile.calls[name] += 1
        elif kind == "cpu_op":
            operations[name] += length / 1e3  # type: ignore[assignment]
    profile.busy_ms = union(spans) / 1e3
    profile.top = profile.top or operations
    return profile


def direction(name: str) -> str:
    """Return the direction of a copy: "HtoD" for "Memcpy HtoD (Pinned -> Device)"."""
    return next((kind for kind in ("HtoD", "DtoH", "DtoD", "HtoH") if kind in name), "other")


def union(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of (start, end) spans."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered
