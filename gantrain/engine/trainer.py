"""The loop, the same for every GAN: steps, schedules, averages, reports, files."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gantrain.engine import seeding
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.distributed.world import World
from gantrain.engine.ema import EMA
from gantrain.engine.memory import peak_gigabytes
from gantrain.engine.optim import LearningRate, restore_optimizer, set_lr
from gantrain.engine.phase import NonFiniteGradient, OnNonfinite, PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.engine.signals import Action
from gantrain.engine.timing import Throughput, crossed
from gantrain.gans.base import GAN, Batch, RankLocal, Step
from gantrain.health.alarms import nonfinite_alarm
from gantrain.ops.value_range import to_float
from gantrain.tracking.stats import means, merge_states


@dataclass(frozen=True)
class TrainingPlan:
    """How much is trained and when things happen; everything in images."""

    seed: int
    total: int  # the budget
    batch: int  # per optimizer step, over all ranks
    microbatch: int  # per forward pass of one rank
    rate: LearningRate
    ema_half_life: float  # 0: no average
    on_nonfinite: OnNonfinite
    tick: int  # one report
    grid_every: int  # 0: no grids
    checkpoint_every: int
    snapshot_every: int  # 0: at the end only
    evaluate_every: int = 0  # 0: never
    health_every: int = 0  # a multiple of tick; 0: never
    ema_rampup: float | None = None  # the half-life is at most this share of the images seen


Evaluate = Callable[[int, nn.Module], tuple[dict[str, float], bool]]
Probe = Callable[[], dict[str, float]]


class Tracker(Protocol):
    """Where the trainer reports to."""

    def progress(self, nimg: int) -> None: ...
    def scalars(self, nimg: int, values: dict[str, float]) -> None: ...
    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None: ...
    def event(self, nimg: int, event: dict[str, Any]) -> None: ...
    def say(self, text: str) -> None: ...


class Trainer:
    """Trains `gan`.

    Args:
        batches: nimg -> endless batches from that image on: uint8 [batch / ranks, C, H, W] per
            stream of pictures, float32 [batch / ranks, label_dim] labels.
        preview: fixed inputs for the grids; None: no grids.
        evaluate: (nimg, generator) -> named values, and whether that is enough; rank 0 calls it.
        probe: values for the reports, under "health/"; rank 0 calls it.
        snapshot: (nimg, generator) -> None, writes the inference file; rank 0 calls it.
        note: plain values kept in every checkpoint (config, versions).
        world: the ranks that train together; rank 0 reports and writes.
    """

    def __init__(
        self,
        gan: GAN,
        optimizers: dict[str, Optimizer],
        precision: Precision,
        plan: TrainingPlan,
        batches: Callable[[int], Iterator[dict[str, Tensor]]],
        tracker: Tracker,
        store: CheckpointStore,
        snapshot: Callable[[int, nn.Module], None],
        preview: dict[str, Tensor] | None = None,
        evaluate: Evaluate | None = None,
        probe: Probe | None = None,
        channels_last: bool = False,
        note: dict[str, Any] | None = None,
        world: World | None = None,
    ) -> None:
        self.gan, self.optimizers, self.precision, self.plan = gan, optimizers, precision, plan
        self.batches, self.tracker, self.store, self.snapshot = batches, tracker, store, snapshot
        self.note, self.world = note or {}, world or World()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.layout: torch.memory_format = layout
        self.preview = None if preview is None else self._to_device(preview)
        self.ema = EMA(gan.G, plan.ema_half_life, plan.ema_rampup) if plan.ema_half_life else None
        self.runner = PhaseRunner(
            gan, optimizers, precision, plan.on_nonfinite, plan.seed, self.world
        )
        self._deal([])
        self.evaluate, self.probe = evaluate, probe
        self.measured: dict[str, float] = {}  # by the last evaluation
        self._unreported: dict[str, float] = {}  # of it
        self.enough = False  # said by an evaluation
        self.nimg = 0
        self.index = 0
        self._saved = -1  # nimg of the last checkpoint
        self._first: dict[str, Any] | None = None  # where this run began, until there is a file
        self._clock = Throughput()

    @property
    def generator(self) -> nn.Module:
        """The generator to use: the average if there is one."""
        return self.ema.network if self.ema else self.gan.G

    def train(self, ask: Callable[[], Action] = lambda: Action.GO_ON) -> Action:
        """Train until the budget is spent or an evaluation says that it is enough (GO_ON), or
        `ask()` says STOP or REQUEUE; saves.

        `ask` is called before every step; at SAVE the state is saved and training goes on.
        Raises NonFiniteGradient, which says where it came from as far as that can be found out.
        """
        if self.nimg == 0 and not self.runner.at_once:
            self._first = _to_cpu(self.state_dict(), copy=True)
        try:
            return self._train(ask)
        except NonFiniteGradient as error:
            if not error.origin:
                self._retrace(error, ask)
            raise

    def _retrace(self, error: NonFiniteGradient, ask: Callable[[], Action]) -> None:
        """Go back to the last saved state and on to the step of `error`, looking at every one.

        Raises NonFiniteGradient with its origin, if it comes again.
        """
        found = self.world.together(self.store.newest)
        state = found[1] if found else self._first
        if state is None:
            return
        self.tracker.say(f"{error} Going back to {state['nimg'] / 1000:g} kimg to find its origin.")
        self.load_state_dict(state)
        self.runner.at_once = True
        stream = self.batches(self.nimg)
        while self.index <= error.index and not self.world.max(ask()):
            self._step(self._to_device(next(stream)))

    def _train(self, ask: Callable[[], Action]) -> Action:
        stream = self.batches(self.nimg)
        if self.nimg == 0:
            self._show_grid()
        self._clock.restart(self.nimg)
        action = Action.GO_ON
        try:
            while self.nimg < self.plan.total and not self.enough:
                action = Action(self.world.max(ask()))
                if action is Action.SAVE:
                    self._save()
                elif action:
                    break
                with self._clock.waiting():
                    images = next(stream)
                self._step(self._to_device(images))
                self._maintain(self.nimg - self.plan.batch, self.nimg)
                self.world.settle()
        finally:
            if isinstance(stream, Generator):
                stream.close()
        over = self.nimg >= self.plan.total or self.enough
        if over and self._saved != self.nimg:  # else this was done before
            if not self.enough:
                self._measure()
            if not self.runner.stats.is_empty:  # the images since the last whole tick
                self._report(probed=False)
        self._save()
        if not over:
            return action
        self._show_grid()
        self._snapshot()
        return Action.GO_ON

    def _step(self, images: Batch) -> None:
        for optimizer in self.optimizers.values():
            set_lr(optimizer, self.plan.rate.factor(self.nimg))
        size = self.plan.microbatch
        parts = [
            {name: x[i : i + size] for name, x in images.items()}
            for i in range(0, self.plan.batch // self.world.size, size)
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
            self._report(probed=crossed(before, now, plan.health_every))
        if now >= plan.total:
            return  # train() saves and shows the end
        if crossed(before, now, plan.evaluate_every):
            self._measure()
        if self.enough:
            return  # as at the end
        if crossed(before, now, plan.grid_every):
            self._show_grid()
        if crossed(before, now, plan.snapshot_every):
            self._snapshot()
        if crossed(before, now, plan.checkpoint_every):
            self._save()

    def _report(self, probed: bool) -> None:
        self.runner.check()
        averages = means(self.world.gather(self.runner.stats.totals()))
        values = {**self.gan.report()}
        values |= {f"lr/{name}": o.param_groups[0]["lr"] for name, o in self.optimizers.items()}
        values["progress/skipped_steps"] = float(self.runner.skipped)
        values["resources/memory_gb"] = peak_gigabytes(self.precision.device)
        values |= self._unreported
        self._unreported = {}
        for index, phase, origin in self.runner.origins:
            alarm = nonfinite_alarm(phase, index, origin, skipped=True)
            self.tracker.event(index * self.plan.batch, asdict(alarm))
        self.runner.origins.clear()
        if probed:
            values |= {f"health/{name}": value for name, value in self._probed().items()}
        self.tracker.scalars(self.nimg, {**averages, **values, **self._clock.read(self.nimg)})

    def _probed(self) -> dict[str, float]:
        def alone() -> dict[str, float]:
            with seeding.stream(self.plan.seed, seeding.HEALTH, self.index):
                return self.probe() if self.probe else {}

        return self.world.first(alone)

    def _measure(self) -> None:
        evaluate = self.evaluate
        if evaluate is None or not self.plan.evaluate_every:
            return
        self.runner.check()

        def alone() -> tuple[dict[str, float], bool]:
            with seeding.stream(self.plan.seed, seeding.EVALUATION, self.index):
                return evaluate(self.nimg, self.generator)

        self.measured, self.enough = self.world.first(alone)
        self._unreported = self.measured

    def _snapshot(self) -> None:
        self.runner.check()
        if self.world.is_first:
            self.snapshot(self.nimg, self.generator)
        self.world.barrier()

    def _show_grid(self) -> None:
        if self.preview is not None and self.plan.grid_every and self.world.is_first:
            self._draw_grid(self.preview)
        self.world.barrier()

    def _draw_grid(self, preview: Batch) -> None:
        G = self.generator
        training = G.training
        with seeding.stream(self.plan.seed, seeding.PREVIEW), torch.no_grad():
            G.eval()  # batch norm must neither use nor collect statistics of these pictures
            with self.precision.autocast():
                columns = self.gan.preview(G, preview)
            G.train(training)
        if columns:
            self.tracker.grid(self.nimg, columns)

    def _save(self) -> None:
        self.runner.check()
        if self._saved != self.nimg:
            self.world.check_equal(self.gan)
            state = self.state_dict()
            if self.world.is_first:
                self.store.save(self.nimg, state)
            self.world.barrier()  # whoever leaves now must not take rank 0 along
            self._saved, self._first = self.nimg, None

    def _to_device(self, images: dict[str, Tensor]) -> Batch:
        device = self.precision.device
        moved = {name: x.to(device, non_blocking=True) for name, x in images.items()}
        return {
            name: to_float(x).contiguous(memory_format=self.layout) if x.dim() == 4 else x
            for name, x in moved.items()  # not the labels
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on as if nothing had happened.

        All ranks must ask for it together.
        """
        own = [f"{name}._extra_state" for name, _ in self._rank_local()]
        return {
            "gan": {key: x for key, x in self.gan.state_dict().items() if key not in own},
            "ema": self.ema.network.state_dict() if self.ema else None,
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "nimg": self.nimg,
            "index": self.index,
            "skipped": self.runner.skipped,
            "measured": [self.measured, self._unreported],
            "enough": self.enough,
            "ranks": self.world.gather(self._own_state()),
            "note": self.note,
        }

    def _own_state(self) -> dict[str, Any]:
        """What differs from rank to rank, on the CPU."""
        local = {name: module.get_extra_state() for name, module in self._rank_local()}
        stats = self.runner.stats.state_dict()
        return _to_cpu({"local": local, "stats": stats})

    def _rank_local(self) -> list[tuple[str, RankLocal]]:
        return [(n, m) for n, m in self.gan.named_modules() if isinstance(m, RankLocal)]

    def _deal(self, ranks: list[dict[str, Any]]) -> None:
        """Give this rank its part of what `ranks` saved."""
        for name, module in self._rank_local():
            states = [state["local"][name] for state in ranks]
            module.deal(states, self.world.rank, self.world.size)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state; optimizer settings (rate, betas) stay as configured."""
        ranks = state["ranks"]
        local = {f"{name}._extra_state": x for name, x in ranks[0]["local"].items()}
        self.gan.load_state_dict({**state["gan"], **local})
        if self.ema:
            self.ema.network.load_state_dict(state["ema"] or self.gan.G.state_dict())
        for name, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, state["optimizers"][name])
        self.nimg = self._saved = state["nimg"]
        self.index = state["index"]
        self.runner.skipped = state["skipped"]
        self.measured, self._unreported = state.get("measured", ({}, {}))
        self.enough = state.get("enough", False)
        self._deal(ranks)
        if len(ranks) == self.world.size:
            stats = ranks[self.world.rank]["stats"]
            self.runner.stats.load_state_dict(stats, self.precision.device)
        elif self.world.is_first:
            stats = merge_states([state["stats"] for state in ranks])
            self.runner.stats.load_state_dict(stats, self.precision.device)


def _to_cpu(value: Any, copy: bool = False) -> Any:
    """Nested dicts and lists with their tensors moved to the CPU; `copy`: also those there."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=copy)
    if isinstance(value, dict):
        return {key: _to_cpu(item, copy) for key, item in value.items()}
    return [_to_cpu(item, copy) for item in value] if isinstance(value, list) else value
