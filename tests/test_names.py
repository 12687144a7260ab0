"""Which key somebody meant."""

import pytest

from gantrain import schema
from gantrain.names import ALIASES, suggest, unknown

PLAIN = {
    "model": {"_target_": "gantrain.gans.cyclegan.CycleGAN"},
    "data": {"_target_": "gantrain.data.folder.UnpairedFolder"},
    "optimizer": {"_target_": "torch.optim.Adam"},
}
KNOWN = [*schema.known_keys(PLAIN), "experiment", "debug"]


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
        ("gpus", "runtime.device"),
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
    assert set(ALIASES.values()) <= set(KNOWN)


def test_unknown_repeats_the_value() -> None:
    assert unknown("batch_size", 4, KNOWN).endswith("Did you mean train.batch=4?")
    assert unknown("qqqqqqq", 4, KNOWN).endswith("--cfg job.")
