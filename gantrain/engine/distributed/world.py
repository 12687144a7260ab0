"""Ranks that train as one: sums of gradients, votes, and how a lost rank is detected.

No other module depends on the number of ranks. The collectives of a `World` of one are free.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from gantrain.engine.distributed.environment import ProcessInfo
from gantrain.errors import ConfigError

T = TypeVar("T")
LONG_TIMEOUT = timedelta(minutes=30)  # for slow phases: preparing data, compiling, writing files
BLAME_SECONDS = 3.0  # ranks that wait for the same one time out within this of each other


class RankLost(RuntimeError):
    """Another rank died or hangs.

    Args:
        text: what is known about it, as a sentence.
        hung: whether it hangs (or is far too slow) rather than died.
    """

    def __init__(self, text: str, hung: bool = False) -> None:
        super().__init__(text)
        self.hung = hung


class World:
    """This process and the others that train with it.

    All ranks must call the collective methods in the same order.

    Args:
        rank: the number of this process, from 0.
        size: the number of processes.
        timeout: seconds that a rank may be behind the others within a step.
    """

    def __init__(self, rank: int = 0, size: int = 1, timeout: float = 45.0) -> None:
        self.rank, self.size, self.timeout = rank, size, timedelta(seconds=timeout)
        self._limit = LONG_TIMEOUT
        self._control_group: Any = None  # gloo: votes and objects never wait for a GPU
        self._store: Any = None
        self._thread_store: Any = None
        self._watch_thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._turns = 0  # of `_before_other_ranks`; the same on all ranks

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the rank that reports and writes files."""
        return self.rank == 0

    @classmethod
    def join(cls, process: ProcessInfo | None, device: torch.device, timeout: float) -> "World":
        """Connect to the other ranks.

        NCCL carries the tensors of CUDA devices, gloo everything else.

        Args:
            process: this process among the ranks; None: it is alone.
            device: where the tensors of collectives are.
            timeout: seconds that a rank may be behind the others within a step.
        """
        if process is None or process.size == 1:
            return cls()
        # `environment.from_environment` reads all of these; torchrun sets them, srun does not
        os.environ |= {"MASTER_ADDR": process.address, "MASTER_PORT": str(process.port)}
        os.environ |= {"RANK": str(process.rank), "WORLD_SIZE": str(process.size)}
        os.environ["LOCAL_RANK"] = str(process.local_rank)
        world = cls(process.rank, process.size, timeout)
        store: Any
        meeting = rendezvous("env://", process.rank, process.size, timeout=LONG_TIMEOUT)
        store, *_ = next(iter(meeting))
        world._store = PrefixStore("gantrain", store)
        on_cuda = device.type == "cuda"
        dist.init_process_group(
            "nccl" if on_cuda else "gloo",
            store=PrefixStore("tensors", store),  # keys apart from those of `world`
            rank=process.rank,
            world_size=process.size,
            timeout=LONG_TIMEOUT,
            device_id=device if on_cuda else None,
        )
        world._control_group = dist.new_group(backend="gloo", timeout=LONG_TIMEOUT)
        # The thread has its own connection. `world` holds it as well: a data worker that is forked
        # while the thread uses it must not close what the thread has locked.
        world._thread_store = PrefixStore("gantrain", store.clone())
        world._watch_thread = threading.Thread(
            target=_exit_with_the_others, args=(world._thread_store, world._closing), daemon=True
        )
        world._watch_thread.start()
        return world

    def end_warmup(self) -> None:
        """Apply `timeout` from now on: the first step, which may compile, is done."""
        self._limit = self.timeout

    def shutdown(self) -> None:
        """Close the connections of this rank."""
        self._closing.set()
        if self._watch_thread:  # C++ would abort if the interpreter ended during its call
            self._watch_thread.join(timeout=10)
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace float tensors by their sums over the ranks, in one flat all-reduce."""
        if self.size == 1 or not tensors:
            return
        # One collective for all: hundreds of small ones would be limited by latency.
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        work = dist.all_reduce(flat, async_op=True)
        if flat.is_cuda:
            # Only queued on the device: the next vote finds a missing rank
            work.wait()  # type: ignore[union-attr]
        else:
            self._wait(work, self._limit)
        parts = flat.split([tensor.numel() for tensor in tensors])
        shaped = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
        torch._foreach_copy_(list(tensors), shaped)  # pyright: ignore[reportPrivateImportUsage]

    def all_reduce_max(self, value: int) -> int:
        """Return the largest value of all ranks."""
        return self._vote(value, self._limit)

    def _vote(self, value: int, limit: timedelta) -> int:
        if self.size == 1:
            return value
        vote = torch.tensor([value])
        work = dist.all_reduce(vote, dist.ReduceOp.MAX, group=self._control_group, async_op=True)
        self._wait(work, limit)
        return int(vote)

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in order of rank. They must be picklable."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(values, value, group=self._control_group)
        except RuntimeError as error:
            self._raise_disconnected(error)
        return values

    def check_alive(self) -> None:
        """Find a missing rank before the device is waited for.

        A GPU would wait forever for the gradients of a rank that hangs.

        Raises:
            RankLost: a rank died or hangs.
        """
        self.all_reduce_max(0)

    def barrier(self) -> None:
        """Wait for all ranks, for minutes if necessary."""
        self._vote(0, LONG_TIMEOUT)

    def run_on_all(self, work: Callable[[], T]) -> T:
        """Run `work()` on every rank and return its result.

        Raises:
            ConfigError: a rank raised it. It is raised on all, and names each problem once.
        """
        if self.size == 1:
            return work()
        result: list[T] = []
        problems: tuple[str, ...] = ()
        try:
            result.append(work())
        except ConfigError as error:
            problems = error.problems
        # Every rank reports, also without problems: a rank that raised at once would leave the
        # others waiting.
        by_rank = self.gather((socket.gethostname(), problems))
        all_problems = dict.fromkeys(text for _, texts in by_rank for text in texts)
        if not all_problems:
            return result[0]
        raise ConfigError(*(_attribute_to_rank(text, by_rank) for text in all_problems))

    def run_on_rank_zero(self, work: Callable[[], T]) -> T:
        """Run `work()` on rank 0 only; return its result, or raise its ConfigError, on all."""
        own_result = self.run_on_all(lambda: self._before_other_ranks(work))
        result = self.gather(own_result)[0]
        return own_result if self.is_rank_zero else result  # type: ignore[return-value]

    def rank_zero_first(self, work: Callable[[], T]) -> T:
        """Run `work()` on rank 0, then on the others, which find the files it left on disk."""
        first = self.run_on_all(lambda: self._before_other_ranks(work))
        second = self.run_on_all(lambda: None if self.is_rank_zero else work())
        return first if self.is_rank_zero else second  # type: ignore[return-value]

    def _before_other_ranks(self, work: Callable[[], T]) -> T | None:
        """Run `work()` on rank 0; the others wait without a limit, as downloads may take hours."""
        if self.size == 1:
            return work()
        # A new key for each turn: an old one would let the others through.
        self._turns += 1
        key = f"turn/{self._turns}"
        if self.is_rank_zero:
            try:
                return work()
            finally:
                # Also after an error, which `run_on_all` then raises on every rank.
                self._store.set(key, "over")
        try:
            while not self._store.check([key]):
                time.sleep(0.1)
        except RuntimeError as error:
            self._raise_disconnected(error)
        return None

    def check_equal(self, module: nn.Module) -> None:
        """Compare the parameters of all ranks bit for bit.

        Raises:
            RuntimeError: they differ.
        """
        if self.size == 1:
            return
        bits = [p.detach().float().view(torch.int32) for p in module.parameters()]
        # A sum of integers does not depend on the order in which a device adds.
        checksums = self.gather(int(torch.stack([x.sum(dtype=torch.int64) for x in bits]).sum()))
        differing = [rank for rank, value in enumerate(checksums) if value != checksums[0]]
        if differing:
            raise RuntimeError(
                f"The weights on rank {', '.join(map(str, differing))} differ from those of rank "
                "0: something other than the optimizers changes them. Nothing was saved."
            )

    def _wait(self, work: Any, limit: timedelta) -> None:
        begin = time.monotonic()
        try:
            work.wait(limit)
        except RuntimeError as error:
            # gloo raises the same error for both, so the time tells a timeout from a lost
            # connection.
            if time.monotonic() - begin < limit.total_seconds():
                self._raise_disconnected(error)
            self._raise_timeout(limit)

    def _raise_disconnected(self, error: RuntimeError) -> None:
        """Raise RankLost: a connection broke, and the other rank explains itself if it can."""
        raise RankLost(
            f"Rank {self.rank} lost the connection to another rank, which stopped or died. Its own "
            "message, or the log of its node, says why."
        ) from error

    def _raise_timeout(self, limit: timedelta) -> None:
        """Raise RankLost after a timeout.

        Ranks that wait register in the store; a rank that does not is reported as hung.
        """
        self._store.set(f"waiting/{self.rank}", socket.gethostname())
        end = time.monotonic() + BLAME_SECONDS
        others = [rank for rank in range(self.size) if rank != self.rank]
        while others and time.monotonic() < end:
            others = [rank for rank in others if not self._store.check([f"waiting/{rank}"])]
            time.sleep(0.1)
        names = ", ".join(map(str, others)) or "?"
        self._store.set("stop", f"Rank {names} hung")
        raise RankLost(
            f"Rank {names} has not reached this point for {limit.total_seconds():g} s while rank "
            f"{self.rank} waited: it hangs or is far too slow. All ranks stop; the last checkpoint "
            "is intact. If a step may take this long, raise runtime.timeout.",
            hung=True,
        )


@contextmanager
def process_group(
    process: ProcessInfo | None, device: torch.device, timeout: float
) -> Iterator[World]:
    """Join the other ranks for the duration of a block; the arguments are those of `World.join`.

    After RankLost the connections are left as they are, because closing broken ones could block.

    Args:
        process: this process among the ranks; None: it is alone.
        device: where the tensors of collectives are.
        timeout: seconds that a rank may be behind the others within a step.
    """
    world = World.join(process, device, timeout)
    try:
        yield world
    except RankLost:
        raise
    except BaseException:
        world.shutdown()
        raise
    world.shutdown()


def _attribute_to_rank(text: str, by_rank: list[tuple[str, tuple[str, ...]]]) -> str:
    """Prefix a problem with the rank and host that reported it, unless rank 0 did as well.

    Args:
        text: the problem.
        by_rank: (host, problems) of each rank.
    """
    ranks = [rank for rank, (_, texts) in enumerate(by_rank) if text in texts]
    if ranks[0] == 0:
        return text
    return f"Rank {ranks[0]} on {by_rank[ranks[0]][0]}: {text}"


def _exit_with_the_others(store: Any, closing: threading.Event) -> None:
    """Run in a thread: end this process once others report a hung rank, whatever it hangs in."""
    while not closing.wait(1):
        try:
            if store.check(["stop"]):
                break
        except RuntimeError:  # the store is gone, and the main thread will notice
            return
    else:
        return
    time.sleep(BLAME_SECONDS)  # a rank that still works raises RankLost by itself
    os._exit(1)
