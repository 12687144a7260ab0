"""The budget and the cadence of a training."""

from dataclasses import dataclass, field
from typing import Any

from gantrain.engine.optim import LearningRate
from gantrain.engine.phase import OnNonfinite
from gantrain.types import Schedule


@dataclass(frozen=True)
class TrainingPlan:
    """The budget and the cadence of a training. All quantities are numbers of images.

    The plan is recorded in config.yaml, under the names of the attributes.

    Attributes:
        seed: the seed of the run.
        total: the budget.
        batch: per optimizer step, over all ranks.
        microbatch: per forward pass of one rank.
        rate: the factor on the optimizers' learning rates.
        ema_half_life: half-life of the generator's average, perhaps a schedule; 0: no average.
        on_nonfinite: see `PhaseRunner`.
        tick: between two reports.
        grid_every: between two sample grids; 0: no grids.
        checkpoint_every: between two checkpoints.
        snapshot_every: between two snapshots; 0: only at the end.
        evaluate_every: between two evaluations; 0: never.
        health_every: between two health probes, a multiple of `tick`; 0: never.
        ema_rampup: the half-life is at most this fraction of the images seen; None: no limit.
        optimizer: the optimizers' settings that hold schedules, see `optim.scheduled`.
        schedules: all schedules of the config that are not constants, by key, for the reports.
    """

    seed: int
    total: int
    batch: int
    microbatch: int
    rate: LearningRate
    ema_half_life: Schedule
    on_nonfinite: OnNonfinite
    tick: int
    grid_every: int
    checkpoint_every: int
    snapshot_every: int
    evaluate_every: int = 0
    health_every: int = 0
    ema_rampup: float | None = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
