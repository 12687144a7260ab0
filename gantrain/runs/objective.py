"""`objective`: the value that a sweep compares, one of those that a run reports."""

import math
from collections.abc import Mapping
from typing import Any

from gantrain.config.train import RunConfig
from gantrain.engine.plan import TrainingPlan
from gantrain.errors import ConfigError, nearest
from gantrain.gans.base import GAN
from gantrain.tracking.sinks import BaseSink

DEFAULT_OBJECTIVE = "pairs/l1"  # if there are test pairs
# {direction: {"model" or "baseline": {metric: value}}}
PairMetrics = Mapping[str, Mapping[str, Mapping[str, float]]]


def metrics(report: Mapping[str, float], pairs: PairMetrics) -> dict[str, float]:
    """Return every finite value of a finished run under a flat name.

    Args:
        report: the last row of metrics.jsonl.
        pairs: metrics of the test pairs per direction; {} without test pairs.

    Returns:
        The report, "pairs/ab/l1" and so on, and their means over the directions, "pairs/l1".
    """
    values = dict(report)
    by_direction = {direction: results["model"] for direction, results in pairs.items()}
    for direction, results in by_direction.items():
        values |= {f"pairs/{direction}/{name}": value for name, value in results.items()}
    for name in next(iter(by_direction.values()), {}):
        total = sum(results[name] for results in by_direction.values())
        values[f"pairs/{name}"] = total / len(by_direction)
    return {name: float(x) for name, x in values.items() if x is not None and math.isfinite(x)}


def select_objective(objective: str | None, values: Mapping[str, float]) -> dict[str, Any]:
    """Return {"name": ..., "value": ...} for result.json.

    Args:
        objective: the configured name; None: the default, if the run has it.
        values: see `metrics`.

    Returns:
        The name is None if there is no objective; the value is None if it is missing.
    """
    name = objective or (DEFAULT_OBJECTIVE if DEFAULT_OBJECTIVE in values else None)
    return {"name": name, "value": values.get(name) if name else None}


def objective_value(objective: str | None, value: float | None) -> float | None:
    """Return what `train` returns: the value, or NaN if a configured objective is missing.

    Args:
        objective: the configured name; None: the default one, which may be missing.
        value: the last value reported; None: none.
    """
    return math.nan if value is None and objective else value


def watch(config: RunConfig, gan: GAN, plan: TrainingPlan, resumed_at: int) -> "ObjectiveGuard":
    """Return a sink that stops a run as soon as its objective can no longer be reported.

    A value of a lazy phase is reported once per interval; a loss with a weight that starts at 0, or
    of a later stage, is reported once that time has come.

    Args:
        config: the checked config.
        gan: the model.
        plan: the batch size.
        resumed_at: the images at which the run starts.
    """
    start_kimgs = [float(config.model.get("adversarial_kimg") or 0)]
    for value in config.model.values():
        if isinstance(value, list) and value and all(isinstance(point, list) for point in value):
            start_kimgs.append(float(value[-1][0]))  # the last point of a schedule
    interval = max((phase.interval for phase in gan.phases()), default=1)
    deadline = max(resumed_at, round(max(start_kimgs) * 1000)) + interval * plan.batch
    return ObjectiveGuard(config.objective, deadline)


class ObjectiveGuard(BaseSink):
    """A sink that raises ConfigError if the objective has not been reported by a deadline.

    Args:
        name: the objective; None: nothing is checked.
        deadline: in images; the check happens at the next report.
    """

    def __init__(self, name: str | None, deadline: int) -> None:
        # These are measured after the last step, and were checked before the first one.
        is_final = name and name.startswith(("pairs/", "metric/"))
        self.name = None if is_final else name
        self.deadline = deadline
        self._reported: set[str] = set()

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Check a report.

        Raises:
            ConfigError: the objective should have been reported by now.
        """
        self._reported |= values.keys()
        if self.name is None or self.name in self._reported or nimg < self.deadline:
            return
        near = nearest(self.name, self._reported)
        hint = f" Did you mean objective={near}?" if near else ""
        raise ConfigError(
            f"objective={self.name}: this run reports no such value.{hint} It reports "
            f"{', '.join(sorted(self._reported))}."
        )
