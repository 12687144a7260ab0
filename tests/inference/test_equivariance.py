"""A StyleGAN3 moves what it shows when its canvas moves, and R turns it, too."""

from pathlib import Path

import pytest
import torch

import gantrain
from gantrain.inference.equivariance import moved_pairs
from gantrain.metrics.equivariance import psnr
from gantrain.networks.stylegan3.generator import Config
from tests.helpers import generators


@pytest.mark.parametrize("config", ["t", "r"])
def test_both_move_and_r_turns(config: Config, tmp_path: Path) -> None:
    """Of an untrained network, whose details are as strong as a trained one's."""
    model = gantrain.load(generators.stylegan3(tmp_path, config=config))
    seeds = range(6)
    with torch.no_grad():
        ws = model.mapping(model.latents(seeds))
    found = {metric: psnr(moved_pairs(model, ws, metric, seeds)) for metric in ("eqt", "eqr")}
    assert found["eqt"] > 50
    assert found["eqr"] > 50 if config == "r" else 5 < found["eqr"] < 30


def test_a_motion_belongs_to_its_seed(tmp_path: Path) -> None:
    model = gantrain.load(generators.stylegan3(tmp_path))
    with torch.no_grad():
        ws = model.mapping(model.latents([0, 1, 2]))
    together = list(moved_pairs(model, ws, "eqt", [0, 1, 2]))
    alone = list(moved_pairs(model, ws[1:2], "eqt", [1]))
    assert torch.equal(together[1][2], alone[0][2])
    torch.testing.assert_close(together[1][1], alone[0][1], rtol=0, atol=1e-5)
