"""Watch the health of a run: probes of G and D, and the alarms that their values raise."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN
from gantrain.health.alarms import AlarmMonitor
from gantrain.inference.probes import HealthProbe, can_be_probed
from gantrain.runs.directory import RunDirectory
from gantrain.tracking.sinks import BaseSink
from gantrain.tracking.tracker import Tracker


def make_probe(
    config: RunConfig, gan: GAN, data: Dataset, plan: TrainingPlan, precision: Precision
) -> Callable[[], dict[str, float]] | None:
    """Return the function that measures health signals, or None if probes are off.

    Args:
        config: the checked config.
        gan: the model.
        data: the prepared data set.
        plan: the cadence of the probes.
        precision: the device.
    """
    if not plan.health_every or plan.health_every > plan.total or not can_be_probed(gan):
        return None
    layout = torch.channels_last if config.runtime.channels_last else torch.contiguous_format
    return HealthProbe(gan, data, precision, config.tracking.health_images, plan.microbatch, layout)


class AlarmSink(BaseSink):
    """A sink that turns alarms about the reports into events."""

    def __init__(self, monitor: AlarmMonitor, tracker: Tracker) -> None:
        self.monitor, self.tracker = monitor, tracker

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Check a report."""
        for alarm in self.monitor.update(nimg, values):
            self.tracker.event(nimg, asdict(alarm))


def make_alarm_sink(
    config: RunConfig, plan: TrainingPlan, directory: RunDirectory, tracker: Tracker
) -> AlarmSink:
    """Return an alarm sink that has seen the reports of the run so far.

    Args:
        config: its model settings hold the bound of ADA's p.
        plan: the cadence of reports.
        directory: of the run; its metrics.jsonl is replayed.
        tracker: receives the alarms.
    """
    monitor = AlarmMonitor(plan.total, ada_p_bound(config.model))
    for row in directory.reports():
        monitor.update(row["nimg"], row)
    return AlarmSink(monitor, tracker)


def ada_p_bound(model: dict[str, Any]) -> float | None:
    """Return the upper bound of ADA's p by the model settings, or None without ADA."""
    if model.get("augment") != "ada":
        return None
    return max(float(model.get("ada_max_p") or 0), float(model.get("augment_p") or 0))
