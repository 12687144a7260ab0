"""The training loop, which every GAN shares: steps, schedules, averages, reports, files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gantrain.engine import seeding
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.distributed.world import World
from gantrain.engine.ema import EMA
from gantrain.engine.feed import Feed, Interruptible, to_device
from gantrain.engine.memory import is_exhausted, peak_gigabytes, to_cpu
from gantrain.engine.optim import main_step_ratio, restore_optimizer, set_lr, set_scheduled
from gantrain.engine.phase import NonFiniteGradient, PhaseRunner
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision
from gantrain.engine.rank_state import RankState
from gantrain.engine.recorded_phase import RecordedPhases
from gantrain.engine.reporting import Evaluate, Probe, Tracker
from gantrain.engine.saving import Saver
from gantrain.engine.signals import Action
from gantrain.engine.timing import Throughput, crossed
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, Batch, Step
from gantrain.health.alarms import nonfinite_alarm
from gantrain.ops.value_range import to_uint8
from gantrain.tracking.stats import means
from gantrain.types import value_at


class Trainer:
    """Trains a GAN until its budget is spent.

    Args:
        gan: the model.
        optimizers: one per player.
        precision: the device, and autocast for forward passes.
        plan: the budget and the cadence.
        batches: (nimg) -> endless batches from that image on: uint8 [batch / ranks, C, H, W] per
            stream of images, float32 [batch / ranks, label_dim] labels.
        tracker: receives the reports.
        checkpoints: stores the full training state.
        snapshot: (nimg, generator) -> None, writes the inference file; on rank 0, in any thread.
        preview: fixed inputs for the grids; None: no grids.
        evaluate: (nimg, generator) -> (named values, whether to stop early); called on rank 0.
        probe: () -> values for the reports, under "health/"; called on rank 0.
        channels_last: the memory layout of images.
        metadata: plain values stored in every checkpoint (config, versions).
        world: the ranks that train together, of which rank 0 reports and writes; None: this
            process alone.
        recorded: runs the phases compiled or as CUDA graphs; None: they run as they are.
        look: (columns of a grid, the inputs) -> the columns as they look, on any device.

    Attributes:
        last_evaluation: the values of the last evaluation.
        early_stopped: whether an evaluation has asked to stop.
        nimg: the images trained on.
        index: the optimizer steps taken.
        saver: what was saved, and is being saved.
    """

    def __init__(
        self,
        gan: GAN,
        optimizers: dict[str, Optimizer],
        precision: Precision,
        plan: TrainingPlan,
        batches: Callable[[int], Iterator[dict[str, Tensor]]],
        tracker: Tracker,
        checkpoints: CheckpointStore,
        snapshot: Callable[[int, nn.Module], None],
        preview: dict[str, Tensor] | None = None,
        evaluate: Evaluate | None = None,
        probe: Probe | None = None,
        channels_last: bool = False,
        metadata: dict[str, Any] | None = None,
        world: World | None = None,
        recorded: RecordedPhases | None = None,
        look: Callable[[Batch, Batch], Batch] = lambda columns, preview: columns,
    ) -> None:
        self.gan, self.optimizers, self.precision, self.plan = gan, optimizers, precision, plan
        self.batches, self.tracker = batches, tracker
        self.checkpoints, self.snapshot = checkpoints, snapshot
        self.metadata, self.world = metadata or {}, world or World()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.to_device = partial(to_device, device=precision.device, layout=layout)
        self.preview = None if preview is None else self.to_device(preview)
        self.ema = EMA(gan.G, plan.ema_half_life, plan.ema_rampup) if plan.ema_half_life else None
        self.runner = PhaseRunner(
            gan, optimizers, precision, plan.on_nonfinite, plan.seed, self.world, recorded
        )
        self.rank_state = RankState(self.runner)
        self.saver = Saver(checkpoints, self.world)
        self.evaluate, self.probe, self.look = evaluate, probe, look
        self.last_evaluation: dict[str, float] = {}
        self._unreported: dict[str, float] = {}  # values of an evaluation for the next report
        self.early_stopped = self._owing = False
        self.nimg = 0
        self.index = 0
        self._initial_state: dict[str, Any] | None = None  # stands in for the first checkpoint
        self._throughput = Throughput()

    @property
    def generator(self) -> nn.Module:
        """The generator for inference: the average if there is one."""
        return self.ema.network if self.ema else self.gan.G

    def train(
        self,
        poll_action: Callable[[], Action] = lambda: Action.CONTINUE,
        interruptible: Interruptible = nullcontext,
    ) -> Action:
        """Train until the budget is spent, an evaluation stops early, or an action says to stop.

        The state is saved at the end.

        Args:
            poll_action: called before every step. CHECKPOINT and SAVE save the state and continue;
                STOP and REQUEUE end the training.
            interruptible: () -> the context in which a signal ends a wait for data.

        Returns:
            STOP or REQUEUE if that ended the training, else CONTINUE.

        Raises:
            NonFiniteGradient: with its origin, where that can be found.
            ConfigError: an image cannot be loaded any more; the state is saved.
        """
        # Where gradients are not checked at once, a bad step is traced by going back to a saved
        # state; before the first checkpoint this copy is it.
        if self.nimg == 0 and not self.runner.check_immediately:
            self._initial_state = to_cpu(self.state_dict(), copy=True)
        try:
            return self._train(poll_action, interruptible)
        except NonFiniteGradient as error:
            # All ranks are here. What could not be written is less than what went wrong.
            self.saver.background.finish()
            self.world.barrier()
            if not error.origin:
                self._retrace(error, poll_action)
            raise
        finally:
            # Whoever called this may now close the tracker, or leave the folder to another process.
            self.saver.background.finish()

    def _retrace(self, error: NonFiniteGradient, poll_action: Callable[[], Action]) -> None:
        """Go back to the last saved state and repeat the steps up to `error`, checking each one.

        Raises:
            NonFiniteGradient: with its origin, if the gradient is not finite again.
        """
        # On all ranks, so that a damaged folder is an error of all and leaves nobody waiting.
        newest = self.world.run_on_all(self.checkpoints.newest)
        state = newest[1] if newest else self._initial_state
        if state is None:
            return
        self.tracker.say(f"{error} Going back to {state['nimg'] / 1000:g} kimg to find its origin.")
        self.load_state_dict(state)
        # From here on the bad step itself raises, with its inputs still at hand.
        self.runner.check_immediately = True
        stream = self.batches(self.nimg)
        while self.index <= error.index and not self.world.all_reduce_max(poll_action()):
            self._step(self.to_device(next(stream)))

    def _train(self, poll_action: Callable[[], Action], interruptible: Interruptible) -> Action:
        feed = Feed(self.batches)
        if self.nimg == 0:
            self._show_grid()
        elif self._owing and self.nimg < self.plan.total:
            with self._saved_if_it_fails():
                self._publish(self.nimg - self.plan.batch, self.nimg)
            self.saver.collected_nimg = 0  # what is saved still owes it
            self._save()
        # Data workers are forked by the first fetch: not beside a thread that holds a lock.
        self.saver.background.wait()
        # After the grid, which is not training time.
        self._throughput.restart(self.nimg)
        action = Action.CONTINUE
        try:
            while self.nimg < self.plan.total and not self.early_stopped:
                self.saver.background.check()
                with self._throughput.waiting():
                    feed.fetch(self.nimg, interruptible)
                # A vote: a signal or a lost disk may have reached one rank only, and all must stop
                # at the same step.
                wish = Action.FAIL if feed.error else poll_action()
                action = Action(self.world.all_reduce_max(wish))
                if action is Action.CHECKPOINT:
                    self._save(beside=True)
                    continue
                if action is Action.SAVE:
                    self._save()
                    self._snapshot()  # whatever kills the run next, it can be used
                    continue
                if action:
                    break
                self._step(self.to_device(feed.take()))
                # From the images before the step, because cadences fire when a multiple is crossed.
                with self._saved_if_it_fails():
                    self._maintain(self.nimg - self.plan.batch, self.nimg)
                self.world.end_warmup()
        finally:
            feed.close()
        is_done = self.nimg >= self.plan.total or self.early_stopped
        # A resumed run that was done before has a checkpoint of these images: report only once
        if is_done and (self.saver.collected_nimg != self.nimg or self._owing):
            with self._saved_if_it_fails():
                if not self.early_stopped:
                    self._evaluate()
            if not self.runner.stats.is_empty:  # the images since the last whole tick
                self._report(with_probe=False)
        if self.nimg or action is not Action.FAIL:
            self._save()
            if not is_done:
                self._snapshot()
        if action is Action.FAIL:
            self.world.run_on_all(feed.raise_error)
        if not is_done:
            return action
        self._show_grid()
        self._snapshot()
        self.saver.settle()
        return Action.CONTINUE

    def _step(self, images: Batch) -> None:
        for player, optimizer in self.optimizers.items():
            # Pure functions of nimg: a resumed run needs no state of a scheduler.
            ratio = main_step_ratio(self.runner.phases, player)
            set_scheduled(optimizer, self.plan.optimizer, ratio, self.nimg)
            set_lr(optimizer, self.plan.rate.factor_of(player, self.nimg))
        size = self.plan.microbatch
        microbatches = [
            {name: x[i : i + size] for name, x in images.items()}
            for i in range(0, self.plan.batch // self.world.size, size)
        ]
        step = Step(self.index, self.nimg, seeding.derive(self.plan.seed, "step", self.index))
        self.runner.step(microbatches, step)
        if self.ema:
            # Before nimg grows: the ramp counts the images before this step.
            self.ema.update(self.gan.G, self.plan.batch, self.nimg)
        self.gan.adapt(step)
        self.nimg += self.plan.batch
        self.index += 1

    def _maintain(self, before: int, now: int) -> None:
        """Do what is due after a step from `before` to `now` images."""
        self.tracker.progress(now)
        if crossed(before, now, self.plan.tick):
            self._report(with_probe=crossed(before, now, self.plan.health_every))
        if now < self.plan.total:  # the end does all of this by itself
            self._publish(before, now)

    def _publish(self, before: int, now: int) -> None:
        if crossed(before, now, self.plan.evaluate_every):
            self._evaluate()
        if self.early_stopped:
            return  # as at the end of the budget
        if crossed(before, now, self.plan.grid_every):
            self._show_grid()
        if crossed(before, now, self.plan.snapshot_every):
            self._snapshot(beside=True)
        if crossed(before, now, self.plan.checkpoint_every):
            self._save(beside=True)

    @contextmanager
    def _saved_if_it_fails(self) -> Iterator[None]:
        """Save the state if what follows a step fails (memory: of a single rank), and owe it."""
        try:
            yield
        except (ConfigError, RuntimeError, MemoryError) as error:
            if isinstance(error, ConfigError) or (self.world.size == 1 and is_exhausted(error)):
                self._owing = True
                self._save()
            raise
        self._owing = False

    def _report(self, with_probe: bool) -> None:
        # Before anything of this tick is shown or stored: it may come from a bad gradient.
        self.runner.check()
        averages = means(self.world.gather(self.runner.stats.totals()))
        values = {**self.gan.report()}
        values |= {f"lr/{name}": o.param_groups[0]["lr"] for name, o in self.optimizers.items()}
        # As of the last step, like the learning rates.
        before = self.nimg - self.plan.batch
        for key, schedule in self.plan.schedules.items():
            values[f"schedule/{key}"] = value_at(schedule, before)
        values["progress/skipped_steps"] = float(self.runner.skipped)
        values["resources/memory_gb"] = peak_gigabytes(self.precision.device)
        # Evaluations have a cadence of their own; their values wait for the next row.
        values |= self._unreported
        self._unreported = {}
        for index, phase, origin in self.runner.nonfinite_origins:
            # At the images of the step, although it is reported later.
            alarm = nonfinite_alarm(phase, index, origin, skipped=True)
            self.tracker.event(index * self.plan.batch, asdict(alarm))
        self.runner.nonfinite_origins.clear()
        if with_probe:
            values |= {f"health/{name}": value for name, value in self._run_probe().items()}
        self.tracker.scalars(self.nimg, {**averages, **values, **self._throughput.read(self.nimg)})

    def _run_probe(self) -> dict[str, float]:
        def probe() -> dict[str, float]:
            # A stream of its own: training draws the same numbers with or without probes.
            with seeding.stream(self.plan.seed, seeding.HEALTH, self.index):
                return self.probe() if self.probe else {}

        return self.world.run_on_rank_zero(probe)

    def _evaluate(self) -> None:
        evaluate = self.evaluate
        if evaluate is None or not self.plan.evaluate_every:
            return
        self.runner.check()

        def evaluate_generator() -> tuple[dict[str, float], bool]:
            with seeding.stream(self.plan.seed, seeding.EVALUATION, self.index):
                return evaluate(self.nimg, self.generator)

        self.last_evaluation, self.early_stopped = self.world.run_on_rank_zero(evaluate_generator)
        self._unreported = self.last_evaluation

    def _snapshot(self, beside: bool = False) -> None:
        """Write the inference file: a copy `beside` the next steps, or before this returns."""
        self.runner.check()
        if self.world.is_rank_zero:
            generator = deepcopy(self.generator).cpu() if beside else self.generator
            write = partial(self.snapshot, self.nimg, generator)
            self.saver.background.submit(write) if beside else write()
        # The others wait: a rank that went ahead would time out in the next vote.
        self.world.barrier()

    def _show_grid(self) -> None:
        if self.preview is not None and self.plan.grid_every and self.world.is_rank_zero:
            self._draw_grid(self.preview)
        self.world.barrier()

    def _draw_grid(self, preview: Batch) -> None:
        G = self.generator
        training = G.training
        # The same draws for every grid, so that grids can be compared.
        with seeding.stream(self.plan.seed, seeding.PREVIEW), torch.no_grad():
            G.eval()  # batch norm must neither use nor collect statistics of these images
            with self.precision.autocast():
                columns = self.look(self.gan.preview(G, preview), preview)
            G.train(training)
        if columns:
            # Pixels, so that the thread only composes and encodes them.
            pixels = {name: to_cpu(to_uint8(images)) for name, images in columns.items()}
            self.saver.background.submit(partial(self.tracker.grid, self.nimg, pixels))

    def _save(self, beside: bool = False) -> None:
        """Save the state unless it is saved: `beside` the next steps, or before this returns."""
        self.runner.check()
        self.saver.save(self.nimg, self._collect, beside)
        self._initial_state = None

    def _collect(self) -> dict[str, Any]:
        # Ranks that have drifted apart must not overwrite the last good state.
        self.world.check_equal(self.gan)
        return self.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to continue bit for bit.

        All ranks must call it together.
        """
        return {
            "gan": self.rank_state.gan_state(),
            "ema": self.ema.network.state_dict() if self.ema else None,
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "nimg": self.nimg,
            "index": self.index,
            "skipped": self.runner.skipped,
            "measured": [self.last_evaluation, self._unreported],
            "enough": self.early_stopped,
            "owing": self._owing,
            "ranks": self.rank_state.gather(),
            "note": self.metadata,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint.

        Optimizer settings (lr, betas) stay as configured. The number of ranks may differ.
        """
        self.rank_state.load(state["gan"], state["ranks"])
        if self.ema:
            self.ema.network.load_state_dict(state["ema"] or self.gan.G.state_dict())
        for name, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, state["optimizers"][name])
        self.nimg = self.saver.saved_nimg = self.saver.collected_nimg = state["nimg"]
        self.index = state["index"]
        self.runner.skipped = state["skipped"]
        self.last_evaluation, self._unreported = state.get("measured", ({}, {}))
        self.early_stopped, self._owing = state.get("enough", False), state.get("owing", False)
