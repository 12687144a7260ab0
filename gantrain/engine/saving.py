"""The checkpoints of a training, and its other files that are written beside it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from gantrain.engine.background import Background, Job
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.distributed.world import World
from gantrain.engine.memory import to_cpu


class Saver:
    """Saves the state of a training, before it goes on or beside it. Only rank 0 writes.

    All ranks must call the methods together.

    Args:
        checkpoints: where to.
        world: the ranks, of which all collect the state.

    Attributes:
        background: writes the files, in the order in which they came. Files of a step that come
            before a checkpoint are there when it is.
        collected_nimg: the images of the last state that was collected; the same on all ranks.
        saved_nimg: the images of the last checkpoint that is on disk; -1: there is none.
    """

    def __init__(self, checkpoints: CheckpointStore, world: World) -> None:
        self.checkpoints, self.world = checkpoints, world
        self.background = Background()
        self.collected_nimg = self.saved_nimg = -1

    def save(self, nimg: int, collect: Callable[[], dict[str, Any]], beside: bool) -> None:
        """Save a state, unless it was collected before.

        Args:
            nimg: its images.
            collect: returns it; called on all ranks.
            beside: whether to write a copy beside the next steps. Otherwise the file is there when
                this returns, and needs no memory for a copy.
        """
        if self.collected_nimg != nimg:
            if not beside or self.saved_nimg != self.collected_nimg:
                self.background.finish()  # one copy at a time
            state = collect()
            if self.world.is_rank_zero and beside:
                self.background.submit(partial(self._write, nimg, to_cpu(state, copy=True)))
            elif self.world.is_rank_zero:
                self._write(nimg, state)
            self.collected_nimg = nimg
        if beside:
            self.world.barrier()  # the copy may take longer than a step
        else:
            self.settle()

    def write(self, job: Job, beside: bool) -> None:
        """Write another file, with what does not change any more; on rank 0."""
        self.background.submit(job) if beside else job()

    def settle(self) -> None:
        """Wait until all files are written; a rank that exits early would end rank 0 while it does.

        Raises:
            BaseException: what writing one of them raised.
        """
        self.background.wait()
        self.world.barrier()
        self.saved_nimg = self.collected_nimg

    def _write(self, nimg: int, state: dict[str, Any]) -> None:
        self.checkpoints.save(nimg, state)
        self.saved_nimg = nimg  # only now may it be announced
