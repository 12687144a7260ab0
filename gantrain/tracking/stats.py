"""Means of scalars that stay on the device and are read once per tick."""

import torch
from torch import Tensor

Totals = dict[str, tuple[float, float]]


class Stats:
    """Sums and counts of scalars since they were last read.

    `add` only enqueues work; the host waits for the device when the sums are read.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added since the sums were last read."""
        return not self._sums

    def add(self, name: str, value: Tensor, weight: float = 1.0) -> None:
        """Add a scalar with a weight; it is detached here."""
        value = value.detach().to(_sum_dtype(value.device))
        self._sums[name] = (
            self._sums[name] + value * weight if name in self._sums else value * weight
        )
        self._counts[name] = self._counts.get(name, 0.0) + weight

    def totals(self) -> Totals:
        """Return (sum, count) by name and reset both; waits for the device."""
        if not self._sums:
            return {}
        names = list(self._sums)
        sums = torch.stack([self._sums[name] for name in names]).tolist()
        totals = {name: (s, self._counts[name]) for name, s in zip(names, sums, strict=True)}
        self._sums, self._counts = {}, {}
        return totals

    def collect(self) -> dict[str, float]:
        """Return the means by name and reset the sums; waits for the device."""
        return means([self.totals()])

    def state_dict(self) -> dict[str, dict[str, Tensor] | dict[str, float]]:
        """Return sums and counts for a checkpoint between two ticks."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, dict], device: torch.device) -> None:
        """Restore sums and counts.

        Args:
            state: from `state_dict`.
            device: of the values that will be added.
        """
        dtype = _sum_dtype(device)
        self._sums = {name: x.to(device, dtype) for name, x in state["sums"].items()}
        self._counts = dict(state["counts"])


def _sum_dtype(device: torch.device) -> torch.dtype:
    """Return float64 on a CPU; accelerators are slow at it or lack it."""
    return torch.float64 if device.type == "cpu" else torch.float32


def means(parts: list[Totals]) -> dict[str, float]:
    """Return the mean by name over the totals of several ranks."""
    names = dict.fromkeys(name for part in parts for name in part)
    result: dict[str, float] = {}
    for name in names:
        totals = [part[name] for part in parts if name in part]
        result[name] = sum(s for s, _ in totals) / sum(count for _, count in totals)
    return result


def merge_states(states: list[dict[str, dict]]) -> dict[str, dict]:
    """Add the `state_dict`s of several ranks to one."""
    merged: dict[str, dict] = {"sums": {}, "counts": {}}
    for state in states:
        for key, values in merged.items():
            for name, value in state[key].items():
                values[name] = values[name] + value if name in values else value
    return merged
