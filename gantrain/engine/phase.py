"""One optimizer step of a phase's players: accumulate, check, step."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from gantrain.engine import nan_tracing, seeding
from gantrain.engine.distributed.world import World
from gantrain.engine.gradients import Context, backpropagate, prepare, without_graphs
from gantrain.engine.precision import Precision
from gantrain.engine.recorded_phase import RecordedPhase, RecordedPhases
from gantrain.engine.running_buffers import RunningBufferAverager
from gantrain.gans.base import GAN, Batch, Phase, Step
from gantrain.ops.tracing import recording
from gantrain.tracking.stats import Stats

OnNonfinite = Literal["halt", "skip"]

_MAX_TRACES = 3  # a trace takes as long as many steps; later skipped steps are only counted


class NonFiniteGradient(RuntimeError):
    """A gradient held NaN or infinity. Nothing has been saved since.

    Args:
        phase: name of the phase.
        index: index of the step.
        ranks: the ranks whose own gradient was not finite, as text; "" for a single process.
        origin: where the value came from, as a clause; "" if unknown.
    """

    def __init__(self, phase: str, index: int, ranks: str, origin: str = "") -> None:
        self.phase, self.index, self.ranks, self.origin = phase, index, ranks, origin
        where = f" on rank {ranks}" if ranks else ""
        super().__init__(
            f"The gradient of phase {phase}{where} was not finite at step {index}"
            f"{f': {origin}' if origin else ''}. "
            "The last checkpoint is from before that step. Try a lower optimizer.lr or "
            "runtime.precision=fp32, or train.on_nonfinite=skip to skip such steps."
        )


class PhaseRunner:
    """Runs the phases of a GAN over the microbatches of a step.

    The random numbers of a forward pass depend only on (phase, step, position of the microbatch in
    the global batch).

    Args:
        gan: the model.
        optimizers: one per player.
        precision: the device, and autocast for forward passes.
        on_nonfinite: what to do if a gradient is not finite. "skip" skips the player's step and
            counts it, which waits for the device once per phase. "halt" raises: immediately on a
            CPU; elsewhere the first such step is recorded on the device and raised by `check`.
        seed: the seed of the run.
        world: the ranks that train together; None: this process alone.
        recorded: runs the phases compiled or as CUDA graphs; None: they run as they are.

    Attributes:
        check_immediately: check every gradient before it is used, and trace what is not finite.
        skipped: how many steps of a player were skipped.
        nonfinite_origins: (step, phase, origin) of the first skipped steps.
        stats: means of losses, scores and gradient norms since they were last read.
    """

    def __init__(
        self,
        gan: GAN,
        optimizers: dict[str, Optimizer],
        precision: Precision,
        on_nonfinite: OnNonfinite,
        seed: int = 0,
        world: World | None = None,
        recorded: RecordedPhases | None = None,
    ) -> None:
        self.gan, self.optimizers, self.precision = gan, optimizers, precision
        self.recorded = recorded
        self.on_nonfinite, self.seed, self.world = on_nonfinite, seed, world or World()
        self.check_immediately = precision.device.type == "cpu" or on_nonfinite == "skip"
        self.nonfinite_origins: list[tuple[int, str, str]] = []
        self._traces = 0
        self._tracing = self._is_ready = False
        self.phases = gan.phases()
        self._continued = {phase.continues for phase in self.phases}
        self._given: list[str] = []  # the entries of a microbatch that come from the data set
        self._undo: dict[str, Callable[[], None]] = {}  # what a continued phase did to its player
        self.stats = Stats()
        self.skipped = 0
        self._running_buffers = RunningBufferAverager(gan, self.world)
        # phase: (first step with a bad gradient, 1 for each rank whose own gradient was bad)
        self._first_bad: dict[str, tuple[Tensor, Tensor]] = {}

    def step(self, microbatches: Sequence[Batch], step: Step) -> None:
        """Run every phase that is due, in order.

        Args:
            microbatches: this rank's part of the global batch, of the same total size on all ranks.
                Microbatches of unequal size are weighted by their images. Phases may add entries.
            step: the step's index and the images before it.
        """
        self._given = [*microbatches[0]]
        for phase in self.phases:
            if step.index % phase.interval == 0:
                self._run_phase(phase, microbatches, step)
            elif self.recorded and not self._is_ready:
                self._record_ahead(phase, microbatches, step)
        if self.recorded and not self._is_ready:
            self.recorded.report_speed()
        self._is_ready = True

    def _run_phase(self, phase: Phase, microbatches: Sequence[Batch], step: Step) -> None:
        for name in self.optimizers:  # the graph of a phase must not reach the other players
            getattr(self.gan, name).requires_grad_(name in phase.players)
        self._zero_grad(phase)
        restore = nan_tracing.save_state(self.gan) if self.check_immediately else None
        if restore and phase.name in self._continued:
            self._undo[phase.name] = nan_tracing.save_buffers(getattr(self.gan, phase.players[0]))
        # Before the phase adds entries of its own; a pass that it continues is repeated.
        inputs = [name for name, x in microbatches[0].items() if not x.requires_grad]
        self._collect(phase, microbatches, step)
        bad_ranks = self._descend(phase, step)
        if bad_ranks is None or restore is None:
            return
        if self.on_nonfinite == "halt" or self._traces < _MAX_TRACES:
            # From the same state and with the same seeds, so that the same value appears again.
            restore()
            origin = self._trace(phase, microbatches, step, inputs)
            if self.on_nonfinite == "halt":
                raise NonFiniteGradient(phase.name, step.index, _rank_list(bad_ranks), origin)
            self.nonfinite_origins.append((step.index, phase.name, origin))
        restore()  # running means and pools must not remember the skipped step
        if phase.continues:
            self._undo[phase.continues]()
        for batch in microbatches:  # a graph needs the buffers that were restored
            batch.update(without_graphs(batch))

    def _zero_grad(self, phase: Phase) -> None:
        for player in phase.players:
            # None instead of 0: the first backward pass stores the gradient instead of adding it.
            self.optimizers[player].zero_grad(set_to_none=True)

    def _collect(self, phase: Phase, microbatches: Sequence[Batch], step: Step) -> None:
        """Accumulate the gradient of this rank's microbatches, each weighted by its share."""
        own_images = sum(_image_count(batch) for batch in microbatches)
        all_images = own_images * self.world.size
        # Where this rank begins in the global batch; random draws depend on it and not on the rank.
        slot = own_images * self.world.rank
        # A whole batch in one pass needs no averaging of buffers.
        is_split = len(microbatches) * self.world.size > 1
        if is_split:
            self._running_buffers.begin()
        # The graphs of several microbatches would take the memory that splitting saves, and
        # averaging changes buffers that a graph needs.
        keep_graph = not is_split and phase.name in self._continued
        for batch in microbatches:
            self._seed(phase, step, slot)
            share = _image_count(batch) / all_images
            self._accumulate(phase, batch, step, share, keep_graph)
            slot += _image_count(batch)
            if is_split:
                self._running_buffers.after(share, last=batch is microbatches[-1])
        if is_split:
            self._running_buffers.end()

    def _seed(self, phase: Phase, step: Step, slot: int) -> None:
        name = phase.continues or phase.name
        seeding.seed_all(self.seed, f"{seeding.TRAIN}/{name}", step.index, slot)

    def _accumulate(
        self, phase: Phase, batch: Batch, step: Step, share: float, keep_graph: bool = False
    ) -> None:
        """Add share * interval * gradient of every dict of losses that the phase yields."""
        prepared = self._prepare(phase, batch, step)
        if self.recorded and not self._tracing:
            entries = {**batch, **prepared}
            values, left = self._recorded(self.recorded, phase, entries, share).run(entries)
            batch.update(left)
        else:
            weight, forward = self._weight(phase, share), self._forward_context(phase)
            values = backpropagate(phase, batch, prepared, step, weight, forward, keep_graph)
        for name, value in values:
            self.stats.add(name, value, share)

    def _recorded(
        self, recorded: RecordedPhases, phase: Phase, entries: Batch, share: float
    ) -> RecordedPhase:
        count = recorded.count
        weight, forward = self._weight(phase, share), self._forward_context(phase)
        found = recorded.record(phase, entries, weight, forward)
        if recorded.count > count:
            # All ranks record now, and not all compilers are as fast: the next wait is a short one.
            self.world.barrier()
        return found

    def _record_ahead(self, phase: Phase, microbatches: Sequence[Batch], step: Step) -> None:
        """Record a phase that is due later, so that all minutes of compiling are at the start."""
        assert self.recorded
        images = sum(_image_count(batch) for batch in microbatches) * self.world.size
        restore = nan_tracing.save_state(self.gan)
        with seeding.state_kept():
            for batch in microbatches:
                share = _image_count(batch) / images
                entries = {**batch, **self._prepare(phase, batch, step)}
                recorded = self._recorded(self.recorded, phase, entries, share)
                # A later phase of this step may read them. They do no harm: they are of this step.
                batch.update(recorded.rehearse(entries))
        restore()

    def _prepare(self, phase: Phase, batch: Batch, step: Step) -> Batch:
        with recording() if self.recorded else nullcontext():
            return prepare(phase, batch, step)

    def _weight(self, phase: Phase, share: float) -> float:
        # Every k-th step times k, so that a lazy phase has the same weight over time. Weighted by
        # its share, the sum over microbatches and ranks is the mean over the batch.
        return share * (phase.interval if phase.lazy else 1)

    def _forward_context(self, phase: Phase) -> Context:
        return nullcontext if phase.full_precision else self.precision.autocast

    def _descend(self, phase: Phase, step: Step) -> Tensor | None:
        """Take the optimizer step, unless the gradient was checked and is not finite.

        Returns:
            None if the step was taken, otherwise 1 for each rank whose own gradient was bad.
        """
        gradients = [
            p.grad
            for player in phase.players
            for p in getattr(self.gan, player).parameters()
            if p.grad is not None
        ]
        if not gradients:
            return None
        # One number stands for all: a norm is finite only if every entry is.
        norm, bad_ranks = self._reduce(gradients)
        finite = torch.isfinite(norm)
        if self.check_immediately:
            if self.on_nonfinite == "skip":
                # `not finite` waits for the device, and so for a rank that hangs.
                self.world.check_alive()
            if not finite:
                # The optimizer is not called at all: its moments stay as they are.
                self.skipped += self.on_nonfinite == "skip"
                return bad_ranks
        else:
            # Nothing here waits for the device: tensors record the first bad step, `check` reads it
            never = torch.full_like(norm, torch.inf)
            first_step, first_ranks = self._first_bad.get(phase.name, (never, bad_ranks))
            this_step = torch.where(finite, never, float(step.index))
            first_ranks = torch.where(first_step.isinf(), bad_ranks, first_ranks)
            self._first_bad[phase.name] = (torch.minimum(first_step, this_step), first_ranks)
        self.stats.add(f"grad_norm/{phase.name}", norm)
        for player in phase.players:
            self.optimizers[player].step()
        return None

    def _trace(
        self, phase: Phase, microbatches: Sequence[Batch], step: Step, inputs: Sequence[str]
    ) -> str:
        """Repeat the phase, from restored state, to find where its gradient went wrong.

        All ranks must call it together.

        Args:
            phase: the phase with the bad gradient.
            microbatches: this rank's microbatches.
            step: the step.
            inputs: the entries of a microbatch that come from the data set.

        Returns:
            The origin as a clause; of several ranks, the first one that found it.
        """
        self._traces += 1
        stats, self.stats = self.stats, Stats()  # the step's values have been counted already
        self._tracing = True
        own_origin = self._find_earlier(phase, microbatches, step)
        own_origin = own_origin or self._find_origin(phase, microbatches, step, inputs)
        self.stats, self._tracing = stats, False
        origins = [origin for origin in self.world.gather(own_origin) if origin]
        return origins[0] if origins else "all its values were finite, but not its norm"

    def _find_earlier(self, phase: Phase, microbatches: Sequence[Batch], step: Step) -> str:
        """Look into the passes of this step that a phase continues, whose gradient comes later."""
        for earlier in self.phases[: self.phases.index(phase)]:
            if earlier.name in self._undo:
                self._undo[earlier.name]()
                if origin := self._find_origin(earlier, microbatches, step, self._given):
                    return origin
        return ""

    def _find_origin(
        self, phase: Phase, microbatches: Sequence[Batch], step: Step, inputs: Sequence[str]
    ) -> str:
        """Run the phase under a watch on this rank; return "" if everything was finite."""
        for batch in microbatches:
            if origin := nan_tracing.check_inputs(self.gan, batch, inputs):
                return origin
        own_images = sum(_image_count(batch) for batch in microbatches)
        slot = own_images * self.world.rank
        restore_buffers = nan_tracing.save_buffers(self.gan)
        self._zero_grad(phase)
        for batch in microbatches:
            self._seed(phase, step, slot)
            batch.update(without_graphs(batch))  # they are used up
            watch = nan_tracing.NonFiniteWatch(self.gan)
            with watch.watching():
                # The share of the step itself: another one could scale a value out of its range.
                share = _image_count(batch) / (own_images * self.world.size)
                self._accumulate(phase, batch, step, share)
            if watch.origin:
                return watch.origin
            slot += _image_count(batch)
            restore_buffers()
        return ""

    def _reduce(self, gradients: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Sum the gradients over the ranks, in place.

        Returns:
            The norm of the sum, and 1 for each rank whose own gradient was not finite. These flags
            travel with the gradients, because the sum no longer shows which rank was bad.
        """
        bad_ranks = gradients[0].new_zeros(self.world.size)
        if self.world.size > 1:
            own_norm = torch.nn.utils.get_total_norm(gradients)
            bad_ranks[self.world.rank] = (~torch.isfinite(own_norm)).float()
            self.world.all_reduce_sum([*gradients, bad_ranks])
        return torch.nn.utils.get_total_norm(gradients), bad_ranks

    def check(self) -> None:
        """Check all gradients since the last call. All ranks must call it together.

        Raises:
            NonFiniteGradient: one of them was not finite.
        """
        self.world.check_alive()
        for phase, (first_step, first_ranks) in self._first_bad.items():
            if (index := float(first_step)) != float("inf"):
                raise NonFiniteGradient(phase, int(index), _rank_list(first_ranks))
        self._first_bad.clear()


def _image_count(batch: Batch) -> int:
    return next(iter(batch.values())).shape[0]


def _rank_list(flags: Tensor) -> str:
    """Return the ranks whose flag is set, such as "0, 3"."""
    return ", ".join(str(rank) for rank, flag in enumerate(flags.tolist()) if flag)
