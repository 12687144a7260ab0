"""Settings that follow from the size of the pictures."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir

from gantrain.config import derived, paths
from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_run_config
from gantrain.errors import ConfigError


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        yield


def load(*overrides: str) -> RunConfig:
    return load_run_config(compose("train", ["model=stylegan", *overrides]), typed_keys=[])


@pytest.mark.parametrize(
    ("side", "batch"), [(32, 32), (64, 32), (128, 32), (256, 16), (512, 8), (1024, 4), (8192, 1)]
)
def test_the_rule_of_the_reference_on_one_gpu(side: int, batch: int) -> None:
    train = derived.fill_in(load(), (side, side // 2)).train
    assert train.batch == batch and train.ema_kimg == batch * 10 / 32


def test_what_is_given_stays() -> None:
    train = derived.fill_in(load("train.batch=6", "train.ema_kimg=0"), (256, 256)).train
    assert (train.batch, train.ema_kimg) == (6, 0)
    config = load("experiment=stylegan_paper256")
    assert derived.fill_in(config, (256, 256)) == config


def test_a_microbatch_must_divide_the_batch_that_was_found() -> None:
    config = load("train.microbatch=8")
    assert derived.fill_in(config, (256, 256)).train.microbatch == 8
    with pytest.raises(ConfigError, match=r"does not divide the batch of 16 .* set train.batch"):
        derived.fill_in(replace(config, train=replace(config.train, microbatch=5)), (256, 256))


@pytest.mark.parametrize(
    ("preset", "expected"),
    [  # (batch, mbstd group, channel base, rate, gamma, ema_kimg, ramp, mapping), as published
        ("stylegan2", (32, 4, 32768, 0.002, 10, 10, None, 8)),
        ("paper256", (64, 8, 16384, 0.0025, 1, 20, None, 8)),
        ("paper512", (64, 8, 32768, 0.0025, 0.5, 20, None, 8)),
        ("paper1024", (32, 4, 32768, 0.002, 2, 10, None, 8)),
        ("cifar", (64, 32, 32768, 0.0025, 0.01, 500, 0.05, 2)),
    ],
)
def test_published_presets(preset: str, expected: tuple[float | None, ...]) -> None:
    config = load(f"experiment=stylegan_{preset}")
    model, train = config.model, config.train
    assert expected == (
        train.batch, model["mbstd_group"], model["channel_base"], config.optimizer["lr"],
        model["r1_gamma"], train.ema_kimg, train.ema_rampup, model["mapping_layers"],
    )  # fmt: skip
    assert train.kimg == (100000 if preset == "cifar" else 25000)
    assert config.optimizer["betas"] == [0.0, 0.99] and config.lr.schedule == "constant"
    if preset == "cifar":
        assert (model["pl_weight"], model["style_mixing_prob"]) == (0, 0)
        assert model["d_architecture"] == "orig"


def test_every_rank_gets_the_same_share() -> None:
    config = load("train.batch=null")
    assert [derived.fill_in(config, (128, 128), n).train.batch for n in (1, 2, 3, 5)] == [
        32,
        32,
        30,
        30,
    ]
    assert derived.fill_in(config, (1024, 1024), 8).train.batch == 8  # an image each at least
    with pytest.raises(ConfigError, match=r"train.batch=8 .* over 3 ranks: .* train.batch=9"):
        derived.fill_in(load("train.batch=8"), (64, 64), 3)
    with pytest.raises(ConfigError, match=r"the batch of 8, 4 on each of 2 ranks: use another"):
        derived.fill_in(load("train.batch=8", "train.microbatch=8"), (64, 64), 2)
