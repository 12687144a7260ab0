"""Load batches from a data set, with or without worker processes."""

import atexit
import errno
import multiprocessing.queues
import os
import shutil
import signal
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gantrain.errors import ConfigError

SHARED_MEMORY = Path("/dev/shm")  # where Linux keeps the batches of workers
PREFETCH = 4  # batches that a worker loads ahead, if the shared memory holds them
_NO_SHARED_MEMORY, _NOT_SENT = 74, 71  # exit codes of workers that could not hand over a batch


class Indexable(Protocol):
    """The part of a data set that `batches` needs."""

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return one item per stream, a pure function of the position."""
        ...


@dataclass(frozen=True)
class ItemCost:
    """What one item of a data set costs, images of all its streams together."""

    seconds: float
    pixels: int


def measure_item(data: Indexable, position: int) -> ItemCost:
    """Load a few items, from `position` on, and return what one of them costs."""
    data.item(position)  # opens files
    seconds = []
    for i in range(1, 4):
        begin = time.perf_counter()
        item = data.item(position + i)
        seconds.append(time.perf_counter() - begin)
    # [C, H, W]; labels have one dimension.
    pixels = sum(x.shape[1] * x.shape[2] for x in item.values() if x.ndim == 3)
    return ItemCost(statistics.median(seconds), pixels)


@dataclass(frozen=True)
class _Failure:
    """The error of a worker, which travels in place of a batch."""

    error: Exception


class _Positions(Dataset):
    def __init__(self, data: Indexable) -> None:
        self.data = data

    def __getitems__(self, indices: list[int]) -> list[Any]:
        try:
            return [self.data.item(index) for index in indices]
        # Raised by a worker, they would arrive with its traceback for a text.
        except (ConfigError, OSError, MemoryError) as error:
            return [_Failure(error)]


class BatchStream(Iterator[dict[str, Tensor]]):
    """Batches without end; `close` stops the workers.

    Args:
        loader: torch's loader.
        workers: its number of processes.
    """

    def __init__(self, loader: DataLoader, workers: int) -> None:
        self._workers = workers
        with warnings.catch_warnings(), _kept_child_handler():
            # Python 3.12 warns of a fork of a process with threads, whose locks stay locked in the
            # child. A worker needs none of them: it reads images and writes them to a pipe.
            warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
            self._source: Any = iter(loader)
        # At exit Python sends workers SIGTERM, which they ignore, and waits for them for ever. If
        # close() was never called, this stops them; it runs before Python's own.
        if workers:
            atexit.register(self.close)

    def __next__(self) -> dict[str, Tensor]:
        """Return the next batch.

        Raises:
            ConfigError: an image cannot be read, or a worker process died.
        """
        if self._source is None:
            raise StopIteration
        try:
            batch = next(self._source)
        except RuntimeError as error:
            codes = [code for worker in self._processes() if (code := worker.exitcode)]
            if not codes:
                raise
            raise ConfigError(_death_of_worker(codes[0], self._workers)) from error
        if isinstance(batch, _Failure):
            raise batch.error
        return batch

    def close(self) -> None:
        """Stop the workers."""
        if self._workers and self._source is not None:
            processes = self._processes()
            self._source._shutdown_workers()  # as DataLoader does when its iterator is collected
            for worker in processes:
                if worker.is_alive():  # stuck in a read
                    worker.kill()
            atexit.unregister(self.close)
        self._source = None

    def _processes(self) -> list[Any]:
        return list(getattr(self._source, "_workers", []))


def batches(
    data: Indexable,
    *,
    start: int,
    batch: int,
    workers: int = 0,
    pin_memory: bool = False,
    rank: int = 0,
    world: int = 1,
    local_ranks: int = 1,
) -> BatchStream:
    """Return an iterator over batches without end; its close() stops the workers.

    Global batch k holds the positions from start + k * batch on, of which rank r gets the r-th
    contiguous part. The values do not depend on `workers`, and no global random state is used.

    Args:
        data: the data set.
        start: first position.
        batch: items per batch of all ranks.
        workers: processes; 0: items are loaded in this process.
        pin_memory: whether batches are in pinned memory, for asynchronous copies to a GPU.
        rank: number of this rank.
        world: number of ranks.
        local_ranks: number of ranks on this machine, which share its shared memory.

    Returns:
        An iterator over {stream: [batch / world, ...]}, of the data set's dtypes.

    Raises:
        ValueError: `world` does not divide `batch`.
        ConfigError: there is too little shared memory for `workers`.
    """
    if batch % world:
        raise ValueError(f"batch={batch} cannot be split evenly over {world} processes.")
    options: dict[str, Any] = {}
    if workers:
        size = sum(array.nbytes for array in data.item(start).values()) * (batch // world)
        prefetch = _batches_ahead(size, workers, local_ranks)
        options = {"prefetch_factor": prefetch, "worker_init_fn": _init_worker}
        # It shares the image cache without a copy. On macOS, the system's libraries may crash in a
        # forked process; Windows cannot fork.
        if sys.platform not in ("darwin", "win32"):
            options["multiprocessing_context"] = "fork"
    loader = DataLoader(
        _Positions(data),
        batch_sampler=_positions(start, batch, rank, world),  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # keeps it from drawing from the global generator
        **options,
    )
    return BatchStream(loader, workers)


def _batches_ahead(size: int, workers: int, local_ranks: int) -> int:
    """Return how many batches of `size` bytes each worker may load ahead.

    Raises:
        ConfigError: not even one fits into the shared memory.
    """
    try:
        free = shutil.disk_usage(SHARED_MEMORY).free // local_ranks
    except OSError:  # not Linux
        return PREFETCH
    # One more is in use, and one is on its way.
    fitting = (free // max(size, 1) - 2) // workers
    if fitting < 1:
        needed = size * (workers + 2) * local_ranks
        raise ConfigError(
            f"{workers} data workers need {_mebibytes(needed)} of shared memory, but "
            f"{SHARED_MEMORY} has {_mebibytes(free * local_ranks)} free: use runtime.workers=0, or "
            f"make it larger (docker run --shm-size=2g; Kubernetes: a memory volume at "
            f"{SHARED_MEMORY})."
        )
    return min(PREFETCH, fitting)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.3g} MiB"


def _death_of_worker(code: int, workers: int) -> str:
    """Return a sentence about a worker that ended with an exit code (negative: of a signal)."""
    if code in (_NO_SHARED_MEMORY, -getattr(signal, "SIGBUS", 7)):
        return (
            f"{SHARED_MEMORY} is full: the data workers cannot hand over their batches. Use "
            "runtime.workers=0, or make it larger (docker run --shm-size=2g)."
        )
    if code == _NOT_SENT:
        return (
            "A data worker could not hand over a batch, perhaps since too many files are open (see "
            "ulimit -n): use runtime.workers=0."
        )
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    if code == -9:
        fewer = "runtime.workers=0" if workers == 1 else f"runtime.workers={workers // 2}"
        how += f"; the machine has probably run out of memory, of which {fewer} needs less"
    return f"A data worker process died ({how})."


@contextmanager
def _kept_child_handler() -> Iterator[None]:
    """Undo that torch raises an error wherever this process is when a worker dies.

    In the middle of a step, the state could not be saved any more. A batch that never comes is
    noticed as well, within seconds and between two steps.
    """
    number = getattr(signal, "SIGCHLD", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(number)
    try:
        yield
    finally:
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _positions(start: int, batch: int, rank: int, world: int) -> Iterator[list[int]]:
    share = batch // world
    first = start + rank * share
    while True:
        yield list(range(first, first + share))
        first += batch


def _collate(items: list[Any]) -> Any:
    if isinstance(items[0], _Failure):
        return items[0]
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}


def _init_worker(worker: int) -> None:
    """Ignore signals in a worker: the parent decides when to stop.

    Ctrl-C or a closed terminal must not end the workers before the parent's last step.
    """
    torch.set_num_threads(1)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):  # Windows lacks some
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # Python would print a traceback and drop the batch, for which the parent then waits for ever.
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore


def _end_worker(error: Exception, batch: object) -> NoReturn:
    """Exit from a worker whose batch could not be sent."""
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM)
    os._exit(_NO_SHARED_MEMORY if is_full else _NOT_SENT)
