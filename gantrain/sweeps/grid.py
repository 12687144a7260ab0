"""Hydra's sweeper of all combinations, for runs that have been checked already."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class Grid(BasicSweeper):
    """Launches all combinations. It does not compose each of them once more to check it."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None) -> None:
        # As in the base class, whose super() fails once Hydra has executed its module again.
        self.overrides = None
        self.batch_index = 0
        self.max_batch_size = max_batch_size
        self.params = params or {}

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: `plan.prepare` has checked every run."""
