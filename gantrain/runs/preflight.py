"""Check what a run needs outside of its config, before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gantrain import targets
from gantrain.config.data_kind import keep_reading
from gantrain.engine.distributed import environment
from gantrain.errors import ConfigError
from gantrain.runs import resume, trackers

if TYPE_CHECKING:
    from gantrain.config.train import RunConfig
    from gantrain.data.base import Dataset
    from gantrain.runs.resume import ExistingRun


def check(config: RunConfig) -> Dataset | None:
    """Check that an existing run can be resumed and that there are images.

    The data set only lists its files here; its method `prepare` checks each image later. A finished
    run needs no images. Of several ranks, only rank 0 checks.

    Returns:
        The data set, not yet prepared; None if it was not needed or not checked.

    Raises:
        ConfigError: the existing run cannot be resumed, or its images are missing.
    """
    if not environment.is_rank_zero():
        return None
    data: Dataset | None = None
    existing: ExistingRun | None = None
    problems: list[str] = []
    try:
        existing = resume.find_resumable(config)
        if existing and existing.result:
            return None
    except ConfigError as error:
        problems += error.problems
    problems += trackers.find_problems(config.tracking)
    try:
        from gantrain.data.base import check_members  # it imports numpy

        section = config.data
        if existing:
            section = keep_reading(section, existing.directory.read_config())
        data_class, settings = targets.resolve(section)
        data = dataset = data_class(seed=config.seed, **settings)
        check_members(data)
        needs_pairs = (config.objective or "").startswith("pairs/")
        if needs_pairs and not dataset.has_pairs:
            problems.append(
                f"objective={config.objective} needs paired test images: add data.test_pairs=true "
                "if they are paired (data=folder: the same names in both folders), or use another "
                "objective."
            )
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return data
