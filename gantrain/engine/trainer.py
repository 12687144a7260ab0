"""The loop, the same for every GAN: steps, schedules, averages, reports, files."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gantrain.engine import seeding
from gantrain.engine.cadence import crossed
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.clock import Clock
from gantrain.engine.ema import EMA
from gantrain.engine.memory import peak_gigabytes
from gantrain.engine.optim import LearningRate, restore_optimizer, set_rate
from gantrain.engine.phase import OnNonfinite, PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.engine.signals import Action
from gantrain.gans.base import GAN, Batch, Step
from gantrain.ops.pixels import to_float


@dataclass(frozen=True)
class Plan:
    """How much is trained and when things happen; everything in images."""

    seed: int
    total: int  # the budget
    batch: int  # per optimizer step
    microbatch: int  # per forward pass
    rate: LearningRate
    ema_half_life: float  # 0: no average
    on_nonfinite: OnNonfinite
    tick: int  # one report
    grid_every: int  # 0: no grids
    checkpoint_every: int
    snapshot_every: int  # 0: at the end only
    ema_rampup: float | None = None  # the half-life is at most this share of the images seen


class Tracker(Protocol):
    """Where the trainer reports to."""

    def progress(self, nimg: int) -> None: ...
    def scalars(self, nimg: int, values: dict[str, float]) -> None: ...
    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None: ...


class Trainer:
    """Trains `gan`.

    Args:
        batches: nimg -> endless batches from that image on: uint8 [batch, C, H, W] per stream of
            pictures, float32 [batch, label_dim] labels.
        preview: fixed uint8 inputs for the grids; None: no grids.
        snapshot: (nimg, generator) -> None, writes the inference file.
        note: plain values kept in every checkpoint (config, versions).
    """

    def __init__(
        self,
        gan: GAN,
        optimizers: dict[str, Optimizer],
        precision: Precision,
        plan: Plan,
        batches: Callable[[int], Iterator[dict[str, Tensor]]],
        tracker: Tracker,
        store: CheckpointStore,
        snapshot: Callable[[int, nn.Module], None],
        preview: dict[str, Tensor] | None = None,
        channels_last: bool = False,
        note: dict[str, Any] | None = None,
    ) -> None:
        self.gan, self.optimizers, self.precision, self.plan = gan, optimizers, precision, plan
        self.batches, self.tracker, self.store, self.snapshot = batches, tracker, store, snapshot
        self.note = note or {}
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.layout: torch.memory_format = layout
        self.preview = None if preview is None else self._to_device(preview)
        self.ema = EMA(gan.G, plan.ema_half_life, plan.ema_rampup) if plan.ema_half_life else None
        self.runner = PhaseRunner(gan, optimizers, precision, plan.on_nonfinite)
        self.nimg = 0
        self.index = 0
        self._saved = -1  # nimg of the last checkpoint
        self._clock = Clock()

    @property
    def generator(self) -> nn.Module:
        """The generator to use: the average if there is one."""
        return self.ema.network if self.ema else self.gan.G

    def train(self, ask: Callable[[], Action] = lambda: Action.GO_ON) -> Action:
        """Train until the budget is spent (GO_ON), or `ask()` says STOP or REQUEUE; saves.

        `ask` is called before every step; at SAVE the state is saved and training goes on.
        """
        stream = self.batches(self.nimg)
        if self.nimg == 0:
            self._show_grid()
        self._clock.restart(self.nimg)
        action = Action.GO_ON
        try:
            while self.nimg < self.plan.total:
                action = ask()
                if action is Action.SAVE:
                    self._save()
                elif action:
                    break
                with self._clock.waiting():
                    images = next(stream)
                self._step(self._to_device(images))
                self._maintain(self.nimg - self.plan.batch, self.nimg)
        finally:
            if isinstance(stream, Generator):
                stream.close()
        self._save()
        if self.nimg < self.plan.total:
            return action
        self._show_grid()
        self.snapshot(self.nimg, self.generator)
        return Action.GO_ON

    def _step(self, images: Batch) -> None:
        seeding.seed_all(self.plan.seed, seeding.TRAIN, step=self.index)
        for optimizer in self.optimizers.values():
            set_rate(optimizer, self.plan.rate.factor(self.nimg))
        size = self.plan.microbatch
        parts = [
            {name: x[i : i + size] for name, x in images.items()}
            for i in range(0, self.plan.batch, size)
        ]
        step = Step(self.index, self.nimg)
        self.runner.step(parts, step)
        if self.ema:
            self.ema.update(self.gan.G, self.plan.batch, self.nimg)
        self.gan.adapt(step)
        self.nimg += self.plan.batch
        self.index += 1

    def _maintain(self, before: int, now: int) -> None:
        plan = self.plan
        self.tracker.progress(now)
        if crossed(before, now, plan.tick):
            self._report()
        if now >= plan.total:
            return  # train() saves and shows the end
        if crossed(before, now, plan.grid_every):
            self._show_grid()
        if crossed(before, now, plan.snapshot_every):
            self.runner.check()
            self.snapshot(now, self.generator)
        if crossed(before, now, plan.checkpoint_every):
            self._save()

    def _report(self) -> None:
        self.runner.check()
        means = self.runner.stats.collect()
        values = {**self.gan.report()}
        values |= {f"lr/{name}": o.param_groups[0]["lr"] for name, o in self.optimizers.items()}
        values["progress/skipped_steps"] = float(self.runner.skipped)
        values["resources/memory_gb"] = peak_gigabytes(self.precision.device)
        self.tracker.scalars(self.nimg, {**means, **values, **self._clock.read(self.nimg)})

    def _show_grid(self) -> None:
        if self.preview is None or not self.plan.grid_every:
            return
        G = self.generator
        training = G.training
        with seeding.stream(self.plan.seed, seeding.PREVIEW), torch.no_grad():
            G.eval()  # batch norm must neither use nor collect statistics of these pictures
            with self.precision.autocast():
                columns = self.gan.preview(G, self.preview)
            G.train(training)
        if columns:
            self.tracker.grid(self.nimg, columns)

    def _save(self) -> None:
        self.runner.check()
        if self._saved != self.nimg:
            self.store.save(self.nimg, self.state_dict())
            self._saved = self.nimg

    def _to_device(self, images: dict[str, Tensor]) -> Batch:
        device = self.precision.device
        moved = {name: x.to(device, non_blocking=True) for name, x in images.items()}
        return {
            name: to_float(x).contiguous(memory_format=self.layout) if x.dtype == torch.uint8 else x
            for name, x in moved.items()  # labels are float already
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on as if nothing had happened."""
        return {
            "gan": self.gan.state_dict(),
            "ema": self.ema.network.state_dict() if self.ema else None,
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "nimg": self.nimg,
            "index": self.index,
            "skipped": self.runner.skipped,
            "stats": self.runner.stats.state_dict(),
            "note": self.note,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state; optimizer settings (rate, betas) stay as configured."""
        self.gan.load_state_dict(state["gan"])
        if self.ema:
            self.ema.network.load_state_dict(state["ema"] or self.gan.G.state_dict())
        for name, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, state["optimizers"][name])
        self.nimg = self._saved = state["nimg"]
        self.index = state["index"]
        self.runner.skipped = state["skipped"]
        self.runner.stats.load_state_dict(state["stats"])
