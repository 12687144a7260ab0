"""What a run needs outside of its config, looked at before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gantrain import targets
from gantrain.engine.distributed import environment
from gantrain.errors import ConfigError
from gantrain.runs import resume

if TYPE_CHECKING:
    from gantrain.config.train import RunConfig
    from gantrain.data.base import Dataset


def check(config: RunConfig) -> Dataset | None:
    """Raise ConfigError if the existing run cannot be resumed or its images are missing.

    The data set finds its folders and lists its files here; whether each image can be read is
    `prepare`'s business. A finished run needs no images. Of several ranks the first one looks.

    Returns:
        The data set, not yet prepared; None where nobody looked.
    """
    if not environment.is_rank_zero():
        return None
    data: Dataset | None = None
    problems: list[str] = []
    try:
        past = resume.find_resumable(config)
        if past and past.result:
            return None
    except ConfigError as error:
        problems += error.problems
    try:
        made, settings = targets.resolve(config.data)
        data = dataset = made(seed=config.seed, **settings)
        by_pairs = (config.objective or "").startswith("pairs/")
        if by_pairs and not dataset.has_pairs:
            problems.append(
                f"objective={config.objective} needs test images whose true partners are known: "
                "give data.test_pairs=true if they are (data=folder: same names in both folders), "
                "or another objective."
            )
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return data
