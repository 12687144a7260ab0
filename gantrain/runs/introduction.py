"""What a run prints when it starts."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN
from gantrain.runs.directory import RunDirectory


def introduction_lines(
    directory: RunDirectory,
    plan: TrainingPlan,
    gan: GAN,
    precision: Precision,
    resumed_at: int | None,
    size: int,
) -> list[str]:
    """Return lines about the run, its networks and its cadence.

    Args:
        directory: that of the run.
        plan: the budget and the cadence.
        gan: the model.
        precision: the device and the format.
        resumed_at: the images at which the run is resumed; None: it is new.
        size: the number of ranks.
    """

    def millions(net: nn.Module) -> str:
        return f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M"

    sizes = [f"{name} {millions(player)}" for name, player in gan.players().items()]
    sizes[0] += " parameters"
    device = precision.device.type if size > 1 else str(precision.device)
    if precision.device.type == "cpu":
        count = torch.get_num_threads()
        device += f" ({count} thread{'s' * (count > 1)})"
    per_rank = f"{plan.batch // size} on each of {size} ranks, " if size > 1 else ""
    grids = f", a grid every {plan.grid_every / 1000:g}" if plan.grid_every else ""
    lines = [
        f"Run directory: {directory.path}",
        f"{type(gan).__name__}: {', '.join(sizes)}; "
        f"{device}, {precision.name}; batch {plan.batch} "
        f"({per_rank}microbatch {plan.microbatch}), {plan.total / 1000:g} kimg in total",
        f"A report every {plan.tick / 1000:g} kimg{grids}, a checkpoint every "
        f"{plan.checkpoint_every / 1000:g}.",
    ]
    if plan.total < plan.batch:
        lines.append(
            f"Warning: the budget of {plan.total} images is less than a batch: this run takes one "
            f"step of {plan.batch} images. Lower train.batch, or raise the budget."
        )
    if resumed_at is not None:
        lines.append(f"Resuming at {resumed_at / 1000:g} kimg.")
    return lines


def derived_lines(derived: dict[str, Any]) -> Iterator[str]:
    """Yield lines about the networks and derived settings of the model."""
    for name, spec in derived["networks"].items():
        arguments = " ".join(f"{key}={value}" for key, value in spec["args"].items())
        yield f"  {name}: {spec['target'].rpartition('.')[2]} {arguments}"
    for name, value in derived["model"].items():
        yield f"  {name}: {value}"
