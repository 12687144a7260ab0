"""One optimizer step of one player: accumulate, check, step. The only place that calls backward."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, Batch, Phase, Step
from gantrain.tracking.stats import Stats

OnNonfinite = Literal["halt", "skip"]


class NonFiniteGradient(RuntimeError):
    """A gradient held NaN or infinity; the weights were saved by no one since."""


class PhaseRunner:
    """Runs the phases of a GAN over the microbatches of a step.

    Args:
        optimizers: one per player.
        on_nonfinite: "skip" leaves the player's step out and counts it (one device wait a phase);
            "halt" remembers the first such step on the device and raises at `check`.
    """

    def __init__(
        self,
        gan: GAN,
        optimizers: dict[str, Optimizer],
        precision: Precision,
        on_nonfinite: OnNonfinite,
    ) -> None:
        self.gan, self.optimizers, self.precision = gan, optimizers, precision
        self.on_nonfinite = on_nonfinite
        self.phases = gan.phases()
        self.stats = Stats()
        self.skipped = 0
        self._first_bad: dict[str, Tensor] = {}

    def step(self, microbatches: Sequence[Batch], step: Step) -> None:
        """Every phase that is due, in order. Microbatches of unequal size count by their images."""
        total = sum(_images(batch) for batch in microbatches)
        for phase in self.phases:
            if step.index % phase.interval == 0:
                for name in self.optimizers:  # a phase's graph must not reach the other player
                    getattr(self.gan, name).requires_grad_(name == phase.player)
                self.optimizers[phase.player].zero_grad(set_to_none=True)
                for batch in microbatches:
                    self._accumulate(phase, batch, step, share=_images(batch) / total)
                self._descend(phase, step)

    def _accumulate(self, phase: Phase, batch: Batch, step: Step, share: float) -> None:
        """Add share * interval * gradient of every dict of losses the phase yields."""
        losses = phase.losses(batch, step)
        stance = "force_eager" if phase.double_backward else "default"
        while True:
            # torch.compile and double backward exclude each other.
            with torch.compiler.set_stance(stance), self._context(phase):
                terms = next(losses, None)
            if terms is None:
                return
            if not terms:
                continue
            for name, value in terms.items():
                kind = "loss" if value.requires_grad else "score"
                self.stats.add(f"{kind}/{phase.name}/{name}", value, share)
            descended = [value for value in terms.values() if value.requires_grad]
            if descended:
                (torch.stack(descended).sum() * (share * phase.interval)).backward()

    def _context(self, phase: Phase) -> AbstractContextManager[Any]:
        return nullcontext() if phase.full_precision else self.precision.autocast()

    def _descend(self, phase: Phase, step: Step) -> None:
        gradients = [
            p.grad for p in getattr(self.gan, phase.player).parameters() if p.grad is not None
        ]
        if not gradients:
            return
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = torch.isfinite(norm)
        if self.on_nonfinite == "skip" and not finite:
            self.skipped += 1
            return
        if self.on_nonfinite == "halt":
            never = torch.full_like(norm, torch.inf)
            now = torch.where(finite, never, float(step.index))
            self._first_bad[phase.name] = torch.minimum(self._first_bad.get(phase.name, never), now)
        self.stats.add(f"grad_norm/{phase.name}", norm)
        self.optimizers[phase.player].step()

    def check(self) -> None:
        """Raise NonFiniteGradient if a gradient was not finite since the last check."""
        for phase, first in self._first_bad.items():
            if (index := float(first)) != float("inf"):
                raise NonFiniteGradient(
                    f"The gradient of phase {phase} was not finite at step {int(index)}. "
                    "The last checkpoint is from before it. Try a lower optimizer.lr or "
                    "runtime.precision=fp32, or train.on_nonfinite=skip to leave such steps out."
                )
        self._first_bad.clear()


def _images(batch: Batch) -> int:
    return next(iter(batch.values())).shape[0]
