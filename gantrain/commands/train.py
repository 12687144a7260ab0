"""gantrain train: start a run on this process or on several, or resume it."""

import os
import sys

from hydra.core.hydra_config import HydraConfig

from gantrain import build
from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.engine.distributed import environment
from gantrain.engine.distributed.world import RankLost
from gantrain.runs import lifecycle, resume, summary
from gantrain.runs.training import run


def main(config: RunConfig, data: Dataset | None = None) -> float | None:
    """Train a new run, or resume one.

    Args:
        config: the checked config.
        data: the data set, not yet prepared; None: it is built here.

    Returns:
        The value of `objective`, or None if there is none.

    Raises:
        ConfigError: the config or the data has problems; nothing was started.
        SystemExit: 75 after SIGINT or SIGTERM, with an intact checkpoint.
    """
    try:
        ended = train(config, data)
    except RankLost as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)
        # A normal exit may wait for connections to ranks that are gone.
        os._exit(1)
    return ended.objective if ended else None


def train(config: RunConfig, data: Dataset | None = None) -> summary.Ended | None:
    """Train as `main` does, with its arguments and errors.

    Returns:
        The directory and the value of the objective; None in ranks other than 0.
    """
    overrides = list(HydraConfig.get().overrides.task)
    if environment.is_rank_zero():
        for warning in config.warnings:
            print(f"Warning: {warning}", file=sys.stderr)
    name = lifecycle.data_name(config)
    if environment.from_environment() is None and config.runtime.devices > 1:
        from gantrain.engine.distributed.launch import launch

        existing = resume.find_resumable(config)
        if existing and existing.result:
            return summary.reprint_result(existing, config)
        build.check_devices(config.runtime)
        return launch(config.runtime.devices, run, config, overrides, name)
    return run(config, overrides, name, data)
