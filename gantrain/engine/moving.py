"""Running means (w_avg, pl_mean, batch norm's statistics) under microbatches and ranks."""

import torch
from torch import Tensor, nn

from gantrain.engine.distributed import World

SMALL = 2**16  # numbers; larger buffers are constants (noise maps, frozen layers)


class MovingBuffers:
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
        self._buffers = [b for b in self.module.buffers() if 0 < b.numel() < SMALL]
        self._before = [b.detach().clone() for b in self._buffers]
        self._moves: list[Tensor] = []

    @torch.no_grad()
    def after(self, share: float, last: bool) -> None:
        """After a microbatch that is `share` of the global batch."""
        moves = [
            (now - before) * share
            for now, before in zip(self._buffers, self._before, strict=True)
            if now.is_floating_point()
        ]
        before = self._moves or [torch.zeros_like(move) for move in moves]
        self._moves = [a + b for a, b in zip(before, moves, strict=True)]
        if not last:
            for buffer, value in zip(self._buffers, self._before, strict=True):
                buffer.copy_(value)

    @torch.no_grad()
    def end(self) -> None:
        """After the last microbatch: on all ranks."""
        self.world.sum_(self._moves)
        moves = iter(self._moves)
        for buffer, value in zip(self._buffers, self._before, strict=True):
            if buffer.is_floating_point():
                buffer.copy_(value + next(moves))
