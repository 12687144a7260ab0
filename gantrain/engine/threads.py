"""Choose how many CPU threads share the work of an operation.

Threads that are done wait for the next operation by spinning. Where operations are small they wait
most of the time: they gain little on an idle machine, and on a busy one they take the core that the
others need. So the size of the work decides. The load of the machine does not: sums are rounded
differently with another number of threads, and a resumed run would no longer be exact.
"""

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn

from gantrain.io.cores import cpu_quota

WORK_PER_THREAD = 16e6  # multiply-adds of an operation that are worth one thread
PIXELS_PER_POSITION = 16  # most layers of an image network work at a quarter of the image's sides


def choose_threads(
    network: nn.Module, images: int, resolution: tuple[int, int], available: int | None = None
) -> int:
    """Return how many threads the typical layer of a network keeps busy.

    Args:
        network: the generator; the median of its weights tells the size of a layer.
        images: how many images pass at a time.
        resolution: (height, width) in pixels.
        available: the largest result; None: `available_threads`.
    """
    available = available or available_threads()
    weights = [p.numel() for p in network.parameters() if p.dim() > 1]
    if not weights:
        return available
    positions = images * resolution[0] * resolution[1] / PIXELS_PER_POSITION
    # The median: a few large layers would otherwise decide for the many small ones.
    work = statistics.median(weights) * positions
    return min(max(round(work / WORK_PER_THREAD), 1), available)


@cache
def available_threads() -> int:
    """Return the cores of this process, at most a container's limit of them; or OMP_NUM_THREADS."""
    threads = torch.get_num_threads()  # torch's own: it knows all of them but the limit
    if "OMP_NUM_THREADS" in os.environ:
        return threads
    return min(threads, cpu_quota() or threads)


def use_threads(count: int | None) -> None:
    """Set torch's number of threads for this process; None: all that are available."""
    available = available_threads()  # before this process changes it
    torch.set_num_threads(count or available)


@contextmanager
def kept_threads() -> Iterator[None]:
    """Restore torch's number of threads after the block."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def all_threads() -> Iterator[None]:
    """Use every available thread, for work that is large whatever is trained."""
    with kept_threads():
        torch.set_num_threads(available_threads())
        yield
