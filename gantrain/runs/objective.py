"""`objective`: the number that a sweep compares, one of those that a run reports."""

import math
from collections.abc import Mapping
from typing import Any

from gantrain.config.train import RunConfig
from gantrain.engine.trainer import TrainingPlan
from gantrain.errors import ConfigError, nearest
from gantrain.gans.base import GAN
from gantrain.tracking.sinks import BaseSink

DEFAULT = "pairs/l1"  # where the test images have partners
Numbers = Mapping[str, Mapping[str, Mapping[str, float]]]  # direction: who: metric: value


def metrics(report: Mapping[str, float], pairs: Numbers) -> dict[str, float]:
    """Every number that a run ends with under a flat name; only finite ones.

    Args:
        report: the last row of metrics.jsonl.
        pairs: the errors of the test translations, per direction; {} where they are not known.

    The errors are "pairs/ab/l1" and so on, and their means over the directions "pairs/l1".
    """
    found = dict(report)
    scores = {direction: by_whom["model"] for direction, by_whom in pairs.items()}
    for direction, values in scores.items():
        found |= {f"pairs/{direction}/{name}": value for name, value in values.items()}
    for name in next(iter(scores.values()), {}):
        found[f"pairs/{name}"] = sum(values[name] for values in scores.values()) / len(scores)
    return {name: float(x) for name, x in found.items() if x is not None and math.isfinite(x)}


def select_objective(objective: str | None, found: Mapping[str, float]) -> dict[str, Any]:
    """{"name": ..., "value": ...}; value None: missing or not finite. name None: there is none."""
    name = objective or (DEFAULT if DEFAULT in found else None)
    return {"name": name, "value": found.get(name) if name else None}


def objective_value(objective: str | None, value: float | None) -> float | None:
    """What `train` returns: NaN where there should be a number."""
    return math.nan if value is None and objective else value


def watch(config: RunConfig, gan: GAN, plan: TrainingPlan, resumed_at: int) -> "ObjectiveGuard":
    """A sink that ends a run whose objective never comes, as soon as that is certain.

    An entry of a lazy phase comes once an interval; a loss whose weight begins at 0, or of a later
    stage, when its time has come.
    """
    stages = [float(config.model.get("adversarial_kimg") or 0)]
    for value in config.model.values():
        if isinstance(value, list) and value and all(isinstance(point, list) for point in value):
            stages.append(float(value[-1][0]))  # a schedule's last point
    interval = max((phase.interval for phase in gan.phases()), default=1)
    settled = max(resumed_at, round(max(stages) * 1000)) + interval * plan.batch
    return ObjectiveGuard(config.objective, settled)


class ObjectiveGuard(BaseSink):
    """Raises ConfigError at a report if `name` has not come up to `settled` images."""

    def __init__(self, name: str | None, settled: int) -> None:
        # These come late, after the last step; that they will come was looked at before.
        late = name and name.startswith(("pairs/", "metric/"))
        self.name = None if late else name
        self.settled = settled
        self._seen: set[str] = set()

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        self._seen |= values.keys()
        if self.name is None or self.name in self._seen or nimg < self.settled:
            return
        near = nearest(self.name, self._seen)
        hint = f" Did you mean objective={near}?" if near else ""
        raise ConfigError(
            f"objective={self.name}: this run reports no such number.{hint} It reports "
            f"{', '.join(sorted(self._seen))}."
        )
