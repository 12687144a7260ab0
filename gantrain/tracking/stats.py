"""Cheap running means: kept on the device, read once a tick."""

import torch
from torch import Tensor

Totals = dict[str, tuple[float, float]]


class Stats:
    """Means of scalars since the last `collect`.

    `add` only enqueues device work; nothing waits for an accelerator until `collect`.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}

    @property
    def is_empty(self) -> bool:
        return not self._sums

    def add(self, name: str, value: Tensor, weight: float = 1.0) -> None:
        """Count scalar `value` (detached here) `weight` times."""
        value = value.detach().to(_sum_dtype(value.device))
        self._sums[name] = (
            self._sums[name] + value * weight if name in self._sums else value * weight
        )
        self._counts[name] = self._counts.get(name, 0.0) + weight

    def totals(self) -> Totals:
        """(sum, count) of every name; forgets them."""
        if not self._sums:
            return {}
        names = list(self._sums)
        sums = torch.stack([self._sums[name] for name in names]).tolist()
        found = {name: (s, self._counts[name]) for name, s in zip(names, sums, strict=True)}
        self._sums, self._counts = {}, {}
        return found

    def collect(self) -> dict[str, float]:
        """Mean of every name; forgets them."""
        return means([self.totals()])

    def state_dict(self) -> dict[str, dict[str, Tensor] | dict[str, float]]:
        """Sums and counts so far, for a checkpoint between two ticks."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, dict], device: torch.device) -> None:
        """Go on from `state_dict`'s sums and counts; later values will come from `device`."""
        dtype = _sum_dtype(device)
        self._sums = {name: x.to(device, dtype) for name, x in state["sums"].items()}
        self._counts = dict(state["counts"])


def _sum_dtype(device: torch.device) -> torch.dtype:
    """float64 is slow on an accelerator, or not there at all."""
    return torch.float64 if device.type == "cpu" else torch.float32


def means(parts: list[Totals]) -> dict[str, float]:
    """Mean of every name over the totals of all parts (ranks)."""
    names = dict.fromkeys(name for part in parts for name in part)
    found: dict[str, float] = {}
    for name in names:
        pairs = [part[name] for part in parts if name in part]
        found[name] = sum(s for s, _ in pairs) / sum(count for _, count in pairs)
    return found


def merge_states(states: list[dict[str, dict]]) -> dict[str, dict]:
    """The `state_dict`s of several ranks as one."""
    result: dict[str, dict] = {"sums": {}, "counts": {}}
    for state in states:
        for kind, values in result.items():
            for name, value in state[kind].items():
                values[name] = values[name] + value if name in values else value
    return result
