"""Throughput, and events that recur every so many images."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throughput:
    """Measures images per second and the fraction of time spent waiting for data."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, nimg: int) -> None:
        """Start measuring at `nimg` images."""
        self._start = time.perf_counter()
        self._waited = 0.0
        self._nimg = nimg

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time spent in the block as waiting for data."""
        begin = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begin

    def read(self, nimg: int) -> dict[str, float]:
        """Return the values since the previous call, as rows of metrics.jsonl name them."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        values = {
            "progress/img_per_sec": (nimg - self._nimg) / seconds,
            "progress/data_wait": self._waited / seconds,
        }
        # Every row covers its own tick only.
        self.restart(nimg)
        return values


class Timer:
    """Rings every so many minutes.

    Args:
        minutes: between two rings; None: never.
    """

    def __init__(self, minutes: float | None) -> None:
        self._seconds = None if minutes is None else minutes * 60
        self._last = time.monotonic()

    def rings(self) -> bool:
        """Return whether the time has passed since the last ring."""
        if self._seconds is None or time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


def crossed(before: int, after: int, every: int) -> bool:
    """Return whether a multiple of `every` images (0: never) lies in (before, after].

    Args:
        before: images trained on before the step.
        after: images trained on after it.
        every: images between two events.
    """
    # Not after % every == 0: a batch may jump over the multiple.
    return every > 0 and after // every > before // every
