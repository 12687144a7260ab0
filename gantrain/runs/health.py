"""Watching a run's health: probes of G and D, and the alarms that their values raise."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from gantrain.config.schema import RunConfig
from gantrain.engine.precision import Precision
from gantrain.engine.trainer import Plan
from gantrain.gans.base import GAN
from gantrain.health.alarms import Examiner
from gantrain.inference.probes import Prober, can_be_probed
from gantrain.runs.directory import RunDirectory
from gantrain.tracking.tracker import Quiet, Tracker


def make_probe(
    config: RunConfig, gan: GAN, data: Any, plan: Plan, precision: Precision
) -> Callable[[], dict[str, float]] | None:
    """What the trainer asks for the signals; None: nothing is looked at."""
    able = can_be_probed(gan) and hasattr(data, "train_item")
    if not plan.health_every or plan.health_every > plan.total or not able:
        return None
    layout = torch.channels_last if config.runtime.channels_last else torch.contiguous_format
    return Prober(gan, data, precision, config.tracking.health_images, plan.microbatch, layout)


class Watchman(Quiet):
    """A sink that makes events of what the reports show."""

    def __init__(self, examiner: Examiner, tracker: Tracker) -> None:
        self.examiner, self.tracker = examiner, tracker

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        for alarm in self.examiner.look(nimg, values):
            self.tracker.event(nimg, asdict(alarm))


def make_watchman(
    config: RunConfig, plan: Plan, directory: RunDirectory, tracker: Tracker
) -> Watchman:
    """One that knows the reports that are there already."""
    examiner = Examiner(plan.total, p_bound(config.model))
    for row in directory.reports():
        examiner.look(row["nimg"], row)
    return Watchman(examiner, tracker)


def p_bound(model: dict[str, Any]) -> float | None:
    """The upper bound of ADA's p, if the model's settings have one."""
    if model.get("augment") != "ada":
        return None
    return max(float(model.get("ada_max_p") or 0), float(model.get("augment_p") or 0))
