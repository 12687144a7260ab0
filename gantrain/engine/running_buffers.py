"""Running means (w_avg, pl_mean, batch norm's statistics) under microbatches and ranks."""

# torch._foreach_* is private in name only.
# pyright: reportPrivateImportUsage=false

import torch
from torch import Tensor, nn

from gantrain.engine.buffers import copy_all, moving_buffers
from gantrain.engine.distributed.world import World

SMALL = 2**16  # numbers; larger buffers are constants even where nobody says so


class RunningBufferAverager:
    """Makes a phase treat all its microbatches alike, wherever they run.

    Each begins with the small buffers as they were before the phase; then the buffers move by the
    mean of the microbatches' moves, weighted by images. So ranks stay equal, and N ranks of one
    microbatch equal one rank of N. A constant moves by exactly 0. Integer buffers keep what the
    last microbatch made of them.
    """

    def __init__(self, module: nn.Module, world: World) -> None:
        self.module, self.world = module, world

    def begin(self) -> None:
        """Before the first microbatch of a phase."""
        small = [b for b in moving_buffers(self.module) if 0 < b.numel() < SMALL]
        self._averaged = [b for b in small if b.is_floating_point()]
        self._others = [b for b in small if not b.is_floating_point()]
        self._before = [
            [b.detach().clone() for b in kind] for kind in (self._averaged, self._others)
        ]
        self._moves: list[Tensor] = []

    @torch.no_grad()
    def after(self, share: float, last: bool) -> None:
        """After a microbatch that is `share` of the global batch."""
        averaged, others = self._before
        if averaged:
            moves = torch._foreach_sub(self._averaged, averaged)
            torch._foreach_mul_(moves, share)
            if self._moves:
                torch._foreach_add_(self._moves, moves)
            else:
                self._moves = [*moves]
        if not last:
            copy_all(self._averaged, averaged)
            copy_all(self._others, others)

    @torch.no_grad()
    def end(self) -> None:
        """After the last microbatch: on all ranks."""
        self.world.sum_(self._moves)
        if self._moves:
            copy_all(self._averaged, torch._foreach_add(self._before[0], self._moves))
