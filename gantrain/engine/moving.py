"""Running means (w_avg, pl_mean, batch norm's statistics) under microbatches and ranks."""

from torch import Tensor, nn

from gantrain.engine.distributed import World


class MovingBuffers:
    """Makes a phase treat all its microbatches alike, wherever they run.

    Each begins with the buffers as they were before the phase; then the buffers move by the mean
    of the microbatches' moves, weighted by images. So ranks stay equal, and N ranks of one
    microbatch equal one rank of N. Integer buffers keep what the last microbatch made of them.
    """

    def __init__(self, module: nn.Module, world: World) -> None:
        self.module, self.world = module, world
        self._buffers: list[Tensor] = []

    def begin(self) -> None:
        """Before the first microbatch of a phase."""
        self._buffers = [b for b in self.module.buffers() if b.numel()]
        self._before = [b.detach().clone() for b in self._buffers]
        self._versions = [b._version for b in self._buffers]
        self._moves: dict[int, Tensor] = {}

    def after(self, share: float, last: bool) -> None:
        """After a microbatch that is `share` of the global batch."""
        for i, (buffer, before) in enumerate(zip(self._buffers, self._before, strict=True)):
            if buffer._version == self._versions[i]:
                continue  # a constant, or nothing of this phase's
            if buffer.is_floating_point():
                move = (buffer.detach() - before) * share
                self._moves[i] = self._moves[i] + move if i in self._moves else move
            if not last:
                buffer.copy_(before)
                self._versions[i] = buffer._version

    def end(self) -> None:
        """After the last microbatch: on all ranks."""
        order = sorted(self._moves)
        moves = [self._moves[i] for i in order]
        self.world.sum_(moves)
        for i, move in zip(order, moves, strict=True):
            self._buffers[i].copy_(self._before[i] + move)
