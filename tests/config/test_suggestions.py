"""Which key somebody meant."""

from typing import Any

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from gantrain.config import compose, paths, train
from gantrain.config.suggestions import ALIASES, suggest, unknown_key

GENERATE = paths.config_dir() / "generate.yaml"
PLAIN = {
    "model": {"_target_": "gantrain.gans.cyclegan.CycleGAN"},
    "data": {"_target_": "gantrain.data.folder.UnpairedFolder"},
    "optimizer": {"_target_": "torch.optim.Adam"},
}
KNOWN = train.known_keys(PLAIN) | {"experiment": Any, "debug": Any}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("modle", "model"),
        ("data.batch_sizee", "train.batch"),
        ("train.batchh", "train.batch"),
        ("train.epohcs", "train.epochs"),
        ("epochs", "train.epochs"),
        ("data.ngf", "model.ngf"),
        ("train.lr", "optimizer.lr"),
        ("gpus", "runtime.devices"),
        ("model.nfg", "model.ngf"),
        ("lambda_A", "model.lambda_cycle"),
        ("dataroot", "data.root"),
        ("crop_size", "data.resolution"),
        ("sede", "seed"),
        ("qqqqqqq", None),
    ],
)
def test_suggest(typed: str, meant: str | None) -> None:
    assert suggest(typed, KNOWN) == meant


def test_every_alias_leads_to_a_key_that_exists() -> None:
    known = set(KNOWN)
    for gan in ("stylegan.StyleGAN", "dcgan.DCGAN"):
        known |= set(train.known_keys({"model": {"_target_": f"gantrain.gans.{gan}"}}))
    known |= set(train.known_keys({"data": {"_target_": "gantrain.data.cifar10.CIFAR10"}}))
    generate = yaml.safe_load(GENERATE.read_text())
    for key, value in generate.items():
        known |= {key} | ({f"{key}.{k}" for k in value} if isinstance(value, dict) else set())
    assert set(ALIASES.values()) <= known


def test_unknown_repeats_the_value() -> None:
    assert unknown_key("batch_size", 4, KNOWN).endswith("Did you mean train.batch=4?")
    assert unknown_key("qqqqqqq", 4, KNOWN).endswith("--help.")


@pytest.mark.parametrize("group", ["model", "data", "sweep", "hydra/launcher", "nothing"])
def test_choices_of_a_group_are_those_that_hydra_finds(group: str) -> None:
    """The loader's own way asks the folders, and composes nothing for it."""
    source = compose.config_loader(None)
    expected = ConfigLoaderImpl.get_group_options(source, group)
    assert source.get_group_options(group) == expected
    assert bool(expected) == (group != "nothing")
