"""An exponential moving average (EMA) of a generator's weights."""

# torch._foreach_* is private in name only.
# pyright: reportPrivateImportUsage=false

import copy

import torch
from torch import Tensor, nn

from gantrain.engine.buffers import copy_all, moving_buffers
from gantrain.types import Schedule, value_at


class EMA:
    """The average of a module's weights, with a half-life counted in images.

    After a step of n images, average <- lerp(source, average, 0.5 ** (n / half_life)). Buffers are
    copied, except constant ones.

    Args:
        source: the module to average; it is copied.
        half_life: in images; perhaps a schedule.
        rampup: the half-life is at most this fraction of the images seen so far, so that the
            initial weights are forgotten quickly. None: no limit.

    Attributes:
        network: the averaged module, in evaluation mode.
    """

    def __init__(self, source: nn.Module, half_life: Schedule, rampup: float | None = None) -> None:
        self.half_life, self.rampup = half_life, rampup
        self.network = copy.deepcopy(source).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, nimg: int, seen: int = 0) -> None:
        """Move the average towards the source's current weights.

        Args:
            source: the module as trained.
            nimg: the number of images of the step.
            seen: the number of images before the step.
        """
        wanted = value_at(self.half_life, seen)
        ramp = wanted if self.rampup is None else seen * self.rampup
        # 1e-8: the first half-life may be 0, and the average becomes the source.
        half_life = max(min(wanted, ramp), 1e-8)
        weight = 1 - 0.5 ** (nimg / half_life)
        average: list[Tensor] = list(self.network.parameters())
        current: list[Tensor] = [p.detach() for p in source.parameters()]
        torch._foreach_lerp_(average, current, weight)
        # Copied, not averaged: w_avg and batch norm's statistics are running means already.
        copy_all(moving_buffers(self.network), moving_buffers(source))
