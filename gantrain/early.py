"""What a run needs outside of its config, looked at before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gantrain import targets
from gantrain.errors import ConfigError
from gantrain.tracking.run_directory import occupied

if TYPE_CHECKING:
    from gantrain.schema import RunConfig


def check(config: RunConfig) -> None:
    """Raise ConfigError if the named run is there already, or the pictures are not.

    The data set finds its folders and lists its files here; whether each picture can be read is
    `prepare`'s business.
    """
    problems: list[str] = []
    path = Path(config.out) / (config.name or "")
    if config.name and config.resume is None and path.exists():
        problems.append(occupied(path))
    try:
        data, settings = targets.resolve(config.data)
        data(seed=config.seed, **settings)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
