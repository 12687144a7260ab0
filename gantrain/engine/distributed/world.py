"""Several processes that train as one: sums of gradients, votes, and what happens when one is lost.

Nothing else knows how many ranks there are. A `World` of one does nothing and costs nothing.
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
PATIENCE = timedelta(minutes=30)  # for what may take long: preparing data, compiling, writing files
ROLL_CALL = 3.0  # seconds: ranks that wait for the same one give up within so much of each other


class RankLost(RuntimeError):
    """Another rank died, or hangs (`hung`): what is known about it, a sentence."""

    def __init__(self, text: str, hung: bool = False) -> None:
        super().__init__(text)
        self.hung = hung


class World:
    """This process among `size`. Collective methods must be called by all ranks, in one order.

    Args:
        timeout: seconds that one rank may be behind the others within a step.
    """

    def __init__(self, rank: int = 0, size: int = 1, timeout: float = 45.0) -> None:
        self.rank, self.size, self.timeout = rank, size, timedelta(seconds=timeout)
        self._limit = PATIENCE
        self._control: Any = None  # a gloo group: votes and objects never wait for a GPU
        self._store: Any = None
        self._watched: Any = None
        self._watch: threading.Thread | None = None
        self._over = threading.Event()
        self._turns = 0  # of `one_after_another`

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @classmethod
    def join(cls, ranks: ProcessInfo | None, device: torch.device, timeout: float) -> "World":
        """Meet the other ranks; NCCL carries the tensors of CUDA devices, gloo everything else."""
        if ranks is None or ranks.size == 1:
            return cls()
        os.environ |= {"MASTER_ADDR": ranks.address, "MASTER_PORT": str(ranks.port)}
        os.environ |= {"RANK": str(ranks.rank), "WORLD_SIZE": str(ranks.size)}
        os.environ["LOCAL_RANK"] = str(ranks.local_rank)  # ranks.from_environment reads all of them
        world = cls(ranks.rank, ranks.size, timeout)
        store: Any
        store, *_ = next(iter(rendezvous("env://", ranks.rank, ranks.size, timeout=PATIENCE)))
        world._store = PrefixStore("gantrain", store)
        on_cuda = device.type == "cuda"
        dist.init_process_group(
            "nccl" if on_cuda else "gloo",
            store=PrefixStore("tensors", store),
            rank=ranks.rank,
            world_size=ranks.size,
            timeout=PATIENCE,
            device_id=device if on_cuda else None,
        )
        world._control = dist.new_group(backend="gloo", timeout=PATIENCE)
        # A connection of the thread's own. It is kept here, too: a data worker, forked while the
        # thread speaks, must not close what the thread has locked.
        world._watched = PrefixStore("gantrain", store.clone())
        given = (world._watched, world._over)
        world._watch = threading.Thread(target=_leave_with_the_others, args=given, daemon=True)
        world._watch.start()
        return world

    def settle(self) -> None:
        """The first step is done: from now on `timeout` holds."""
        self._limit = self.timeout

    def leave(self) -> None:
        """Close the connections; the others may go on without this rank."""
        self._over.set()
        if self._watch:  # Python's end must not find it inside of a call: C++ would abort
            self._watch.join(timeout=10)
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace float tensors by their sums over the ranks: one flat all-reduce."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        work = dist.all_reduce(flat, async_op=True)
        if flat.is_cuda:
            work.wait()  # type: ignore[union-attr]  # queued on the device: the next vote finds out who is missing
        else:
            self._wait(work, self._limit)
        parts = flat.split([tensor.numel() for tensor in tensors])
        shaped = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
        torch._foreach_copy_(list(tensors), shaped)  # pyright: ignore[reportPrivateImportUsage]

    def max(self, value: int) -> int:
        """The largest value of all ranks."""
        return self._vote(value, self._limit)

    def _vote(self, value: int, limit: timedelta) -> int:
        if self.size == 1:
            return value
        vote = torch.tensor([value])
        work = dist.all_reduce(vote, dist.ReduceOp.MAX, group=self._control, async_op=True)
        self._wait(work, limit)
        return int(vote)

    def gather(self, value: T) -> list[T]:
        """The values of all ranks (picklable), on every rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(values, value, group=self._control)
        except RuntimeError as error:
            self._lost(error)
        return values

    def roll_call(self) -> None:
        """Find out who is missing, before waiting for a device: a GPU would wait for ever for the
        gradients of a rank that hangs."""
        self.max(0)

    def barrier(self) -> None:
        """Wait for all, minutes if need be."""
        self._vote(0, PATIENCE)

    def together(self, work: Callable[[], T]) -> T:
        """`work()` on every rank; a ConfigError of any rank is raised on all, each said once."""
        if self.size == 1:
            return work()
        result: list[T] = []
        problems: tuple[str, ...] = ()
        try:
            result.append(work())
        except ConfigError as error:
            problems = error.problems
        by_rank = self.gather((socket.gethostname(), problems))
        shared = dict.fromkeys(text for _, texts in by_rank for text in texts)
        if not shared:
            return result[0]
        raise ConfigError(*(_attributed(text, by_rank) for text in shared))

    def first(self, work: Callable[[], T]) -> T:
        """`work()` on rank 0 alone; its result, or its ConfigError, on all."""
        result = self.together(lambda: self._before_the_others(work))
        shared = self.gather(result)[0]
        return result if self.is_first else shared  # type: ignore[return-value]

    def one_after_another(self, work: Callable[[], T]) -> T:
        """`work()` on rank 0, then on the others, which find what it left on the disk."""
        early = self.together(lambda: self._before_the_others(work))
        rest = self.together(lambda: None if self.is_first else work())
        return early if self.is_first else rest  # type: ignore[return-value]

    def _before_the_others(self, work: Callable[[], T]) -> T | None:
        """`work()` on rank 0 while the others wait without a limit: a download may take hours."""
        if self.size == 1:
            return work()
        self._turns += 1
        key = f"turn/{self._turns}"
        if self.is_first:
            try:
                return work()
            finally:
                self._store.set(key, "over")
        try:
            while not self._store.check([key]):
                time.sleep(0.1)
        except RuntimeError as error:
            self._lost(error)
        return None

    def check_equal(self, module: nn.Module) -> None:
        """Raise RuntimeError unless all ranks have the same parameters, to the last bit."""
        if self.size == 1:
            return
        bits = [p.detach().float().view(torch.int32) for p in module.parameters()]
        # A sum of integers: whatever the order in which a device adds.
        prints = self.gather(int(torch.stack([x.sum(dtype=torch.int64) for x in bits]).sum()))
        odd = [rank for rank, value in enumerate(prints) if value != prints[0]]
        if odd:
            raise RuntimeError(
                f"The weights on rank {', '.join(map(str, odd))} are no longer those of rank 0: "
                "something other than the optimizers changes them. Nothing was saved."
            )

    def _wait(self, work: Any, limit: timedelta) -> None:
        begin = time.monotonic()
        try:
            work.wait(limit)
        except RuntimeError as error:
            if time.monotonic() - begin < limit.total_seconds():
                self._lost(error)
            self._late(limit)

    def _lost(self, error: RuntimeError) -> None:
        """A connection broke: the other side is gone, and says why itself if it still can."""
        raise RankLost(
            f"Rank {self.rank} lost the connection to another rank, which stopped or died: its own "
            "message, or the log of its node, tells why."
        ) from error

    def _late(self, limit: timedelta) -> None:
        """Nobody answered in time: those that wait, too, sign a list; who does not is to blame."""
        self._store.set(f"waiting/{self.rank}", socket.gethostname())
        end = time.monotonic() + ROLL_CALL
        others = [rank for rank in range(self.size) if rank != self.rank]
        while others and time.monotonic() < end:
            others = [rank for rank in others if not self._store.check([f"waiting/{rank}"])]
            time.sleep(0.1)
        names = ", ".join(map(str, others)) or "?"
        self._store.set("stop", f"Rank {names} hung")
        raise RankLost(
            f"Rank {names} has not come this far for {limit.total_seconds():g} s while rank "
            f"{self.rank} waited: it hangs, or is far slower. All ranks stop; the last checkpoint "
            "is good. If a step may take so long, raise runtime.timeout.",
            hung=True,
        )


@contextmanager
def process_group(
    ranks: ProcessInfo | None, device: torch.device, timeout: float
) -> Iterator[World]:
    """`World.join` for the length of a block; after RankLost the connections stay as they are."""
    world = World.join(ranks, device, timeout)
    try:
        yield world
    except RankLost:
        raise
    except BaseException:
        world.leave()
        raise
    world.leave()


def _attributed(text: str, by_rank: list[tuple[str, tuple[str, ...]]]) -> str:
    """The sentence, and on which ranks it is true if not on all that could tell."""
    ranks = [rank for rank, (_, texts) in enumerate(by_rank) if text in texts]
    if ranks[0] == 0:
        return text
    return f"Rank {ranks[0]} on {by_rank[ranks[0]][0]}: {text}"


def _leave_with_the_others(store: Any, over: threading.Event) -> None:
    """Thread: end this process once the others have given it up, whatever it hangs in."""
    while not over.wait(1):
        try:
            if store.check(["stop"]):
                break
        except RuntimeError:  # the store is gone: so is the run, and the main thread will notice
            return
    else:
        return
    time.sleep(ROLL_CALL)  # a rank that can still speak leaves by itself
    os._exit(1)
