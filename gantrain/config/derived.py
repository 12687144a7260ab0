"""Settings left to the program: those that follow from the size of the pictures."""

from __future__ import annotations

from dataclasses import replace

from gantrain.config.train import RunConfig
from gantrain.errors import ConfigError


def fill_in(config: RunConfig, resolution: tuple[int, int], ranks: int = 1) -> RunConfig:
    """The config with its null settings filled in, as StyleGAN2-ADA's `auto` does.

    train.batch: 4096 / side, at most 32, the next lower multiple of the number of ranks, one
    image for each at least. train.ema_kimg: batch * 10 / 32.
    Raises ConfigError when the batch cannot be split.
    """
    train = config.train
    batch = train.batch or max(min(4096 // max(resolution), 32) // ranks, 1) * ranks
    if batch % ranks:
        near = max(round(batch / ranks), 1) * ranks
        raise ConfigError(
            f"train.batch={batch} (the images of one step, over all ranks) cannot be split evenly "
            f"over {ranks} ranks: the nearest is train.batch={near}."
        )
    share = batch // ranks
    if train.microbatch and share % train.microbatch:
        auto = "" if train.batch else f" that suits {max(resolution)} px (train.batch=null)"
        of = f", {share} on each of {ranks} ranks" if ranks > 1 else ""
        way = "give another train.microbatch" if train.batch else "give train.batch as well"
        raise ConfigError(
            f"train.microbatch={train.microbatch} does not divide the batch of {batch}{auto}{of}: "
            f"{way}."
        )
    ema_kimg = batch * 10 / 32 if train.ema_kimg is None else train.ema_kimg
    return replace(config, train=replace(train, batch=batch, ema_kimg=ema_kimg))
