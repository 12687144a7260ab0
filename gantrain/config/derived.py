"""Defaults derived from the image resolution."""

from __future__ import annotations

from dataclasses import replace

from gantrain.config import schedules
from gantrain.config.train import RunConfig
from gantrain.errors import ConfigError


def fill_in(config: RunConfig, resolution: tuple[int, int], ranks: int = 1) -> RunConfig:
    """Fill in the null settings of the config, as StyleGAN2-ADA's `auto` does (arXiv:2006.06676).

    train.batch is 4096 / side, at most 32, rounded down to a multiple of the number of ranks and
    at least one image per rank. train.ema_kimg is batch * 10 / 32. A ramp's kimg is train.kimg.

    Args:
        config: the checked config.
        resolution: (height, width) of the images.
        ranks: the number of processes that share the batch.

    Raises:
        ConfigError: the batch cannot be split evenly.
    """
    train = config.train
    batch = train.batch or max(min(4096 // max(resolution), 32) // ranks, 1) * ranks
    if batch % ranks:
        near = max(round(batch / ranks), 1) * ranks
        raise ConfigError(
            f"train.batch={batch} (images per step, over all ranks) cannot be split evenly "
            f"over {ranks} ranks: the nearest that can is train.batch={near}."
        )
    per_rank = batch // ranks
    if train.microbatch and per_rank % train.microbatch:
        auto = "" if train.batch else f" chosen for {max(resolution)} px (train.batch=null)"
        split = f", {per_rank} on each of {ranks} ranks" if ranks > 1 else ""
        fix = "use another train.microbatch" if train.batch else "set train.batch as well"
        raise ConfigError(
            f"train.microbatch={train.microbatch} does not divide the batch of "
            f"{batch}{auto}{split}: {fix}."
        )
    ema_kimg = batch * 10 / 32 if train.ema_kimg is None else train.ema_kimg
    sections = {"model": config.model, "optimizer": config.optimizer}
    full = schedules.fill_in({**sections, "train": {"ema_kimg": ema_kimg}}, train.kimg)
    return replace(
        config,
        train=replace(train, batch=batch, **full["train"]),
        model=full["model"],
        optimizer=full["optimizer"],
    )
