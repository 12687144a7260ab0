"""The schedules among the values of a config. They may stand wherever an annotation takes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gantrain.config.annotations import map_schedules
from gantrain.config.check import constructor_annotations
from gantrain.types import Schedule

Sections = dict[str, Any]  # plain values by section; those without schedules are ignored
Change = Callable[[str, Any], Any]  # (dotted key, points or ramp) -> the new schedule


def find(sections: Sections) -> dict[str, Any]:
    """Return all schedules that are not constants, by dotted key ("optimizer.betas.1")."""
    found: dict[str, Any] = {}

    def note(key: str, schedule: Any) -> Any:
        found[key] = schedule
        return schedule

    _changed(sections, note)
    return found


def fill_in(sections: Sections, kimg: float | None) -> Sections:
    """Return the sections with ramps of kimg=null as long as the budget.

    Args:
        sections: checked values.
        kimg: the budget.
    """

    def complete(_: str, schedule: Any) -> Any:
        return {**schedule, "kimg": kimg} if is_open(schedule) else schedule

    return _changed(sections, complete)


def is_open(schedule: Any) -> bool:
    """Return whether a schedule is a ramp over the whole budget."""
    return isinstance(schedule, dict) and schedule["kimg"] is None


def is_zero(schedule: Any) -> bool:
    """Return whether a schedule is 0 at all times."""
    if isinstance(schedule, dict):
        return schedule["base"] == schedule["final"] == 0
    if isinstance(schedule, list):
        return all(value == 0 for _, value in schedule)
    return schedule == 0


def _changed(sections: Sections, change: Change) -> Sections:
    kinds = {name: constructor_annotations(name, sections[name]) for name in ("model", "optimizer")}
    kinds["train"] = {"ema_kimg": Schedule | None}
    return sections | {
        name: {
            key: map_schedules(value, (kinds[name] or {}).get(key, Any), change, f"{name}.{key}")
            for key, value in sections[name].items()
        }
        for name in kinds
    }
