"""One optimizer step of one player: accumulate, check, step. The only place that calls backward."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from gantrain.engine import nan_tracing, seeding
from gantrain.engine.distributed.world import World
from gantrain.engine.precision import Precision
from gantrain.engine.running_buffers import RunningBufferAverager
from gantrain.gans.base import GAN, Batch, Phase, Step
from gantrain.tracking.stats import Stats

OnNonfinite = Literal["halt", "skip"]


_MOST_TRACES = 3  # of skipped steps


class NonFiniteGradient(RuntimeError):
    """A gradient held NaN or infinity; the weights were saved by no one since.

    Args:
        origin: where it came from, as far as that is known.
    """

    def __init__(self, phase: str, index: int, ranks: str, origin: str = "") -> None:
        self.phase, self.index, self.ranks, self.origin = phase, index, ranks, origin
        where = f" on rank {ranks}" if ranks else ""
        super().__init__(
            f"The gradient of phase {phase}{where} was not finite at step {index}"
            f"{f': {origin}' if origin else ''}. "
            "The last checkpoint is from before it. Try a lower optimizer.lr or "
            "runtime.precision=fp32, or train.on_nonfinite=skip to leave such steps out."
        )


class PhaseRunner:
    """Runs the phases of a GAN over the microbatches of a step.

    Every (phase, step, place of the microbatch in the global batch) has random numbers of its own.

    Args:
        optimizers: one per player.
        on_nonfinite: "skip" leaves the player's step out and counts it (one device wait a phase);
            "halt" raises: at once on a CPU, else it remembers the first such step on the device
            and raises at `check`.

    Attributes:
        at_once: look at every gradient before it is used, and trace what is not finite.
        origins: (step, phase, where it came from) of the first skipped steps.
    """

    def __init__(
        self,
        gan: GAN,
        optimizers: dict[str, Optimizer],
        precision: Precision,
        on_nonfinite: OnNonfinite,
        seed: int = 0,
        world: World | None = None,
    ) -> None:
        self.gan, self.optimizers, self.precision = gan, optimizers, precision
        self.on_nonfinite, self.seed, self.world = on_nonfinite, seed, world or World()
        self.at_once = precision.device.type == "cpu" or on_nonfinite == "skip"
        self.origins: list[tuple[int, str, str]] = []
        self._traces = 0
        self._watched = False
        self.phases = gan.phases()
        self.stats = Stats()
        self.skipped = 0
        self._moving = RunningBufferAverager(gan, self.world)
        self._first_bad: dict[str, tuple[Tensor, Tensor]] = {}  # phase: (step, 1 per guilty rank)

    def step(self, microbatches: Sequence[Batch], step: Step) -> None:
        """Every phase that is due, in order. Microbatches of unequal size count by their images.

        microbatches: this rank's part of the global batch, of equal size on all ranks.
        """
        for phase in self.phases:
            if step.index % phase.interval == 0:
                for name in self.optimizers:  # a phase's graph must not reach the other player
                    getattr(self.gan, name).requires_grad_(name == phase.player)
                self.optimizers[phase.player].zero_grad(set_to_none=True)
                restore = nan_tracing.save_state(self.gan) if self.at_once else None
                self._given = [*microbatches[0]]  # the phase may leave more
                self._collect(phase, microbatches, step)
                if self._descend(phase, step) or restore is None:
                    continue
                if self.on_nonfinite == "halt" or self._traces < _MOST_TRACES:
                    self._trace(phase, microbatches, step, restore)
                restore()  # running means and pools must not keep what was left out

    def _collect(self, phase: Phase, microbatches: Sequence[Batch], step: Step) -> None:
        """The gradient of all microbatches of this rank, each counted by its share."""
        own = sum(_images(batch) for batch in microbatches)
        total, slot = own * self.world.size, own * self.world.rank
        several = len(microbatches) * self.world.size > 1
        if several:
            self._moving.begin()
        for batch in microbatches:
            seeding.seed_all(self.seed, f"{seeding.TRAIN}/{phase.name}", step.index, slot)
            share = _images(batch) / total
            self._accumulate(phase, batch, step, share)
            slot += _images(batch)
            if several:
                self._moving.after(share, last=batch is microbatches[-1])
        if several:
            self._moving.end()

    def _accumulate(self, phase: Phase, batch: Batch, step: Step, share: float) -> None:
        """Add share * interval * gradient of every dict of losses the phase yields."""
        losses = phase.losses(batch, step)
        # torch.compile excludes double backward, and hides operations from a watch.
        stance = "force_eager" if phase.double_backward or self._watched else "default"
        while True:
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

    def _descend(self, phase: Phase, step: Step) -> bool:
        """Use the gradient. False: it was seen not to be finite, and was not used."""
        gradients = [
            p.grad for p in getattr(self.gan, phase.player).parameters() if p.grad is not None
        ]
        if not gradients:
            return True
        norm, guilty = self._reduce(gradients)
        finite = torch.isfinite(norm)
        if self.at_once:
            if self.on_nonfinite == "skip":
                self.world.roll_call()
            if not finite:
                self.skipped += self.on_nonfinite == "skip"
                self._guilty = guilty
                return False
        else:
            never = torch.full_like(norm, torch.inf)
            first, who = self._first_bad.get(phase.name, (never, guilty))
            now = torch.where(finite, never, float(step.index))
            who = torch.where(first.isinf(), guilty, who)
            self._first_bad[phase.name] = (torch.minimum(first, now), who)
        self.stats.add(f"grad_norm/{phase.name}", norm)
        self.optimizers[phase.player].step()
        return True

    def _trace(
        self,
        phase: Phase,
        microbatches: Sequence[Batch],
        step: Step,
        restore: Callable[[], None],
    ) -> None:
        """Find out where the gradient of `phase` went wrong; all ranks together.

        Raises NonFiniteGradient unless such steps are skipped.
        """
        self._traces += 1
        stats, self.stats = self.stats, Stats()  # those of the step are counted already
        self._watched = True
        restore()
        own = self._origin(phase, microbatches, step)
        self.stats, self._watched = stats, False
        found = [text for text in self.world.gather(own) if text]
        origin = found[0] if found else "every number of it was finite, but not its norm"
        ranks = ", ".join(str(rank) for rank, bad in enumerate(self._guilty.tolist()) if bad)
        if self.on_nonfinite == "halt":
            raise NonFiniteGradient(phase.name, step.index, ranks, origin)
        self.origins.append((step.index, phase.name, origin))

    def _origin(self, phase: Phase, microbatches: Sequence[Batch], step: Step) -> str:
        """The phase once more over this rank's microbatches; "" if nothing is amiss."""
        for batch in microbatches:
            if found := nan_tracing.check_inputs(self.gan, batch, self._given):
                return found
        slot = sum(_images(batch) for batch in microbatches) * self.world.rank
        restore_buffers = nan_tracing.remember_buffers(self.gan)
        self.optimizers[phase.player].zero_grad(set_to_none=True)
        for batch in microbatches:
            seeding.seed_all(self.seed, f"{seeding.TRAIN}/{phase.name}", step.index, slot)
            watch = nan_tracing.NonFiniteWatch(self.gan)
            with watch.watching():
                self._accumulate(phase, batch, step, 1.0)
            if watch.found:
                return watch.found
            slot += _images(batch)
            restore_buffers()
        return ""

    def _reduce(self, gradients: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Sum over the ranks; the norm of the sum, and 1 for every rank whose own was not finite.

        The second travels with the gradients, since in the sum nobody could tell any more.
        """
        guilty = gradients[0].new_zeros(self.world.size)
        if self.world.size > 1:
            own = torch.nn.utils.get_total_norm(gradients)
            guilty[self.world.rank] = (~torch.isfinite(own)).float()
            self.world.sum_([*gradients, guilty])
        return torch.nn.utils.get_total_norm(gradients), guilty

    def check(self) -> None:
        """Raise NonFiniteGradient if a gradient was not finite since the last check.

        All ranks must ask together.
        """
        self.world.roll_call()
        for phase, (first, who) in self._first_bad.items():
            if (index := float(first)) != float("inf"):
                ranks = ", ".join(str(rank) for rank, bad in enumerate(who.tolist()) if bad)
                raise NonFiniteGradient(phase, int(index), ranks)
        self._first_bad.clear()


def _images(batch: Batch) -> int:
    return next(iter(batch.values())).shape[0]
