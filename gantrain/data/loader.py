"""Load batches from a data set, with or without worker processes."""

import atexit
import signal
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Indexable(Protocol):
    """The part of a data set that `batches` needs."""

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return one item per stream, a pure function of the position."""
        ...


class _Positions(Dataset):
    def __init__(self, data: Indexable) -> None:
        self.data = data

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.data.item(index)


def batches(
    data: Indexable,
    *,
    start: int,
    batch: int,
    workers: int = 0,
    pin_memory: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Iterator[dict[str, Tensor]]:
    """Yield batches without end; close() stops the workers.

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

    Returns:
        An iterator over {stream: [batch / world, ...]}, of the data set's dtypes.

    Raises:
        ValueError: `world` does not divide `batch`.
    """
    if batch % world:
        raise ValueError(f"batch={batch} cannot be split evenly over {world} processes.")
    return _iterate(data, start, batch, workers, pin_memory, rank, world)


def _iterate(
    data: Indexable, start: int, batch: int, workers: int, pin_memory: bool, rank: int, world: int
) -> Iterator[dict[str, Tensor]]:
    options: dict[str, Any] = {}
    if workers:
        options = {"prefetch_factor": 4, "worker_init_fn": _init_worker}
        if "fork" in torch.multiprocessing.get_all_start_methods():
            options["multiprocessing_context"] = "fork"  # shares the image cache without a copy
    loader = DataLoader(
        _Positions(data),
        batch_sampler=_positions(start, batch, rank, world),  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # keeps it from drawing from the global generator
        **options,
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork of a process with threads, whose locks stay locked in the
        # child. A worker needs none of them: it reads images and writes them to a pipe.
        warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
        source = iter(loader)
    if not workers:
        yield from source
        return
    # At exit Python sends workers SIGTERM, which they ignore, and waits for them for ever. If
    # close() was never called, this handler stops them; it runs before Python's own.
    stop = atexit.register(partial(_stop_workers, source))
    try:
        yield from source
    finally:
        stop()
        atexit.unregister(stop)


def _stop_workers(source: Any) -> None:
    source._shutdown_workers()  # as DataLoader does when its iterator is collected
    for worker in source._workers:
        if worker.is_alive():  # stuck in a read
            worker.kill()


def _positions(start: int, batch: int, rank: int, world: int) -> Iterator[list[int]]:
    share = batch // world
    first = start + rank * share
    while True:
        yield list(range(first, first + share))
        first += batch


def _collate(items: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}


def _init_worker(worker: int) -> None:
    """Ignore signals in a worker: the parent decides when to stop.

    Ctrl-C or a closed terminal must not end the workers before the parent's last step.
    """
    torch.set_num_threads(1)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):  # Windows lacks some
            signal.signal(getattr(signal, name), signal.SIG_IGN)
