"""When things happen, and how fast."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throughput:
    """Images per second, and the share of the time spent waiting for data, since the last read."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, nimg: int) -> None:
        """Start measuring at `nimg` images."""
        self._start, self._waited, self._nimg = time.perf_counter(), 0.0, nimg

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in the block counts as waiting for data."""
        begin = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begin

    def read(self, nimg: int) -> dict[str, float]:
        """Values since the last read, which this is."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        values = {
            "progress/img_per_sec": (nimg - self._nimg) / seconds,
            "progress/data_wait": self._waited / seconds,
        }
        self.restart(nimg)
        return values


def crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` images (0: never) lies in (before, after]."""
    return every > 0 and after // every > before // every
