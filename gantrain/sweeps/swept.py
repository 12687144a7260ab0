"""The keys in which the runs of a sweep differ, and the values that they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from gantrain.config import compose
from gantrain.config.overrides import key_of
from gantrain.errors import ConfigError


def parse(source: compose.Loader, typed: Sequence[str], params: Any, grid: bool) -> list[Override]:
    """Parse the sweeper's params and the typed overrides, of which the last one of a key wins.

    Args:
        source: where the configs are found.
        typed: the overrides, as typed.
        params: those of the sweeper's preset.
        grid: whether all combinations are run.

    Raises:
        ConfigError: a grid has a key with infinitely many values.
    """
    parser = OverridesParser.create(config_loader=source)
    texts = [f"{key}={value}" for key, value in params.items()] + list(typed)
    parsed = {key_of(o.input_line or ""): o for o in parser.parse_overrides(texts)}
    for key, override in parsed.items():
        if grid and override.is_sweep_override() and not override.is_discrete_sweep():
            raise ConfigError(
                f"{key}={override.input_line.partition('=')[2] if override.input_line else ''}: "
                "an interval has infinitely many values: list some, such as 1,2,3, or add "
                "sweep=optuna."
            )
    return list(parsed.values())


def values(override: Override, grid: bool) -> list[str]:
    """Return one override per value of a swept key; of an interval or Optuna's range, the ends."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    if isinstance(value, RangeSweep) and not grid:  # Optuna includes the end
        return [f"{key}={value.start}", f"{key}={value.stop}"]
    return [f"{key}={text}" for text in override.sweep_string_iterator()]


def jobs(values: dict[str, list[str]], grid: bool) -> Iterator[list[str]]:
    """Yield the overrides of each job of a grid; of a search, of jobs in which every value occurs.

    Args:
        values: the overrides of each swept key, one per value.
        grid: whether all combinations are run.
    """
    if grid:
        yield from (list(job) for job in product(*values.values()))
        return
    first_job = [options[0] for options in values.values()]
    yield first_job
    for i, options in enumerate(values.values()):  # vary one key at a time from the first job
        for other in options[1:]:
            yield [*first_job[:i], other, *first_job[i + 1 :]]
