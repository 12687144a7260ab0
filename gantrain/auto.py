"""Settings left to the program: those that follow from the size of the pictures."""

from __future__ import annotations

from dataclasses import replace

from gantrain.errors import ConfigError
from gantrain.schema import RunConfig


def complete(config: RunConfig, resolution: tuple[int, int]) -> RunConfig:
    """The config with its null settings filled in, as StyleGAN2-ADA's `auto` does on one GPU.

    train.batch: 4096 / side, at most 32. train.ema_kimg: batch * 10 / 32.
    Raises ConfigError when train.microbatch does not divide the batch.
    """
    train = config.train
    batch = train.batch or max(min(4096 // max(resolution), 32), 1)
    if train.microbatch and batch % train.microbatch:
        raise ConfigError(
            f"train.microbatch={train.microbatch} does not divide the batch of {batch} that suits "
            f"{max(resolution)} px (train.batch=null): give train.batch as well."
        )
    ema_kimg = batch * 10 / 32 if train.ema_kimg is None else train.ema_kimg
    return replace(config, train=replace(train, batch=batch, ema_kimg=ema_kimg))
