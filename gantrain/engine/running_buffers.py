"""Average running buffers (w_avg, pl_mean, batch norm's statistics) over microbatches and ranks."""

# torch._foreach_* is private in name only.
# pyright: reportPrivateImportUsage=false

import torch
from torch import Tensor, nn

from gantrain.engine.buffers import copy_all, moving_buffers
from gantrain.engine.distributed.world import World

# Numbers; a larger buffer is taken for a constant, even if its module does not say so.
SMALL = 2**16


class RunningBufferAverager:
    """Makes the small buffers independent of how a batch is split into microbatches and ranks.

    Every microbatch of a phase starts from the buffers as they were before the phase. At the end,
    the buffers change by the mean of the microbatches' changes, weighted by images. So the buffers
    are the same on all ranks, and N ranks of one microbatch equal one rank of N. A constant changes
    by exactly 0. Integer buffers keep their values from the last microbatch.

    Args:
        module: the module that owns the buffers.
        world: the ranks to average over.
    """

    def __init__(self, module: nn.Module, world: World) -> None:
        self.module, self.world = module, world

    def begin(self) -> None:
        """Save the buffers before the first microbatch of a phase."""
        # Collected anew each time: moving the module to a device replaces its buffers.
        small = [b for b in moving_buffers(self.module) if 0 < b.numel() < SMALL]
        self._floats = [b for b in small if b.is_floating_point()]
        self._integers = [b for b in small if not b.is_floating_point()]
        self._floats_before = [b.detach().clone() for b in self._floats]
        self._integers_before = [b.detach().clone() for b in self._integers]
        self._changes: list[Tensor] = []

    @torch.no_grad()
    def after(self, share: float, last: bool) -> None:
        """Accumulate the changes made by a microbatch, and reset the buffers for the next one.

        Args:
            share: the microbatch's fraction of the global batch.
            last: whether it is the last one of this rank.
        """
        if self._floats:
            # One kernel for all buffers: they are many and tiny.
            changes = torch._foreach_sub(self._floats, self._floats_before)
            torch._foreach_mul_(changes, share)
            if self._changes:
                torch._foreach_add_(self._changes, changes)
            else:
                self._changes = [*changes]
        if not last:
            copy_all(self._floats, self._floats_before)
            copy_all(self._integers, self._integers_before)

    @torch.no_grad()
    def end(self) -> None:
        """Apply the mean change over all ranks after the last microbatch. Call it on every rank."""
        self.world.all_reduce_sum(self._changes)
        if self._changes:
            # Before + mean change, in place, because modules and phases hold these tensors.
            copy_all(self._floats, torch._foreach_add(self._floats_before, self._changes))
