"""Schedules in a composed config: ramps, points, the command line, the budget."""

from pathlib import Path
from typing import Any

import pytest
from hydra.errors import ConfigCompositionException

from gantrain.config import compose, derived, hydra_errors, schedules
from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_config
from gantrain.errors import ConfigError

R3GAN = ("model=r3gan", "data=folder", "data.root=x")
RAMPS = {"model.gamma", "model.augment_p", "optimizer.lr", "optimizer.betas.1", "train.ema_kimg"}
RISE = {"base": 0, "final": 1, "kimg": 3, "shape": "linear"}


def load(*overrides: str) -> RunConfig:
    cfg = compose.task_config(compose.config_loader(None), "train", list(overrides))
    return load_config(cfg, typed_keys=())


def found(config: RunConfig) -> dict[str, Any]:
    return schedules.find(vars(config) | {"train": vars(config.train)})


def test_the_ramps_of_a_model_last_as_long_as_the_budget() -> None:
    config = load(*R3GAN, "train.kimg=50", "model.augment_p.kimg=20")
    assert found(config).keys() == RAMPS
    full = found(derived.fill_in(config, (64, 64)))
    assert {key: ramp["kimg"] for key, ramp in full.items()} == {
        **dict.fromkeys(RAMPS, 50),
        "model.augment_p": 20,
    }


def test_constants_are_no_schedules() -> None:
    assert found(load("model=stylegan", "data=folder", "data.root=x")) == {}
    assert found(load("model.lambda_cycle=[[0,5],[9,1]]")) == {
        "model.lambda_cycle": [[0, 5], [9, 1]]
    }


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("model.gamma=3", "gamma", 3),
        ("model.gamma=[[0,3],[5,1]]", "gamma", [[0, 3], [5, 1]]),
        (
            "model.gamma.final=1",
            "gamma",
            {"base": 2.0, "final": 1, "kimg": None, "shape": "cosine"},
        ),
        ("model.gamma={base:0,final:1,kimg:3,shape:linear}", "gamma", RISE),
    ],
)
def test_each_form_replaces_each(typed: str, key: str, value: Any) -> None:
    assert load(*R3GAN, typed).model[key] == value
    source = compose.config_loader(None)
    cfg = compose.Variants(source, "train", R3GAN).config([typed])
    assert load_config(cfg, typed_keys=()).model[key] == value


def test_any_optimizer_takes_schedules() -> None:
    config = load("data=shapes", "optimizer=sgd", "optimizer.momentum=[[0,0.5],[9,0.9]]")
    assert found(config) == {"optimizer.momentum": [[0, 0.5], [9, 0.9]]}
    with pytest.raises(ConfigError, match=r"optimizer\.eps"):
        load("data=shapes", "optimizer.eps=[[0,1e-8],[9,1e-6]]")


@pytest.mark.parametrize("lr", ["[[0,0],[5,1e-3]]", "{base:1e-3,final:0,kimg:5,shape:linear}"])
def test_a_learning_rate_may_start_or_end_at_0(lr: str) -> None:
    assert found(load("data=shapes", f"optimizer.lr={lr}")).keys() == {"optimizer.lr"}
    for wrong in ("0", "[[0,-1]]", "{base:1e-3,final:-1,kimg:5,shape:linear}"):
        with pytest.raises(ConfigError, match=r"optimizer.lr=.*out of range"):
            load("data=shapes", f"optimizer.lr={wrong}")


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError) as error:
        load(*R3GAN, "train.kimg=null", "train.epochs=3")
    [text] = error.value.problems
    assert all(key in text for key in RAMPS) and "give the budget as train.kimg" in text
    assert load(*R3GAN, "train.kimg=null", "train.epochs=3", *CLOSED).train.epochs == 3
    with pytest.raises(ConfigError, match=r"model.gamma=.* a ramp \{base, final, kimg, shape: "):
        load(*R3GAN, "model.gamma.shape=square")
    with pytest.raises(ConfigError, match=r"optimizer.betas=.*below 1"):
        load(*R3GAN, "optimizer.betas=[0,{base:0.9,final:1,kimg:5,shape:cosine}]")


CLOSED = (
    *(f"{key}.kimg=9" for key in RAMPS if "betas" not in key),
    "optimizer.betas=[0,0.9]",
)


POINTS = [[0, 2], [100, 0.5]]


def test_a_file_may_give_points_for_a_ramp_and_a_ramp_for_points(tmp_path: Path) -> None:
    """Of the user's own experiment over the model's YAML, and the command line over both."""
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "own.yaml"
    file.write_text(
        "# @package _global_\ndefaults:\n  - override /model: r3gan\n  - override /data: folder\n"
        f"model:\n  gamma: {POINTS}\n  augment_p: {{final: 0.1}}\n"
    )
    source = compose.config_loader(str(tmp_path))

    def model(*typed: str) -> dict[str, Any]:
        cfg = compose.task_config(source, "train", ["experiment=own", "data.root=x", *typed])
        return load_config(cfg, typed_keys=()).model

    assert model()["gamma"] == POINTS
    assert model()["augment_p"] == {"base": 0.0, "final": 0.1, "kimg": None, "shape": "cosine"}
    assert model("model.gamma={base:0,final:1,kimg:3,shape:linear}")["gamma"] == RISE


def test_a_later_list_replaces_earlier_entries() -> None:
    """As when a run with a changed ramp is resumed with points."""
    typed = ["optimizer.lr.final=1e-5", "optimizer.lr=[[0,1e-4],[9,1e-5]]"]
    points = [[0, 1e-4], [9, 1e-5]]
    assert load(*R3GAN, *typed).optimizer["lr"] == points
    variants = compose.Variants(compose.config_loader(None), "train", R3GAN)
    assert load_config(variants.config(typed), typed_keys=()).optimizer["lr"] == points


@pytest.mark.parametrize("value", ["[[0,1],[9,2]]", "3"])
def test_an_entry_of_what_is_no_ramp(value: str) -> None:
    typed = [*R3GAN, f"model.gamma={value}", "model.gamma.base=3"]
    with pytest.raises(ConfigCompositionException) as error:
        load(*typed)
    [text] = hydra_errors.to_sentences(error.value, "train", typed, None, sweep=False)
    assert text.startswith("model.gamma.base: model.gamma is not a ramp here. Make it one: ")
