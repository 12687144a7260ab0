"""gantrain export format=torch_export: files that tell what they hold and do what the run does."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as package
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.unet import UnetGenerator
from tests.helpers.command_line import gantrain
from tests.helpers.generators import ANIMALS, r3gan, stylegan, write

pytestmark = pytest.mark.multi
EXPORT = ["export", "output=out", "format=torch_export"]


def load(file: Path) -> tuple[torch.nn.Module, dict[str, str]]:
    extra = {"gantrain.json": ""}
    program = torch.export.load(file, extra_files=extra)
    return program.module(), json.loads(extra["gantrain.json"])


def test_both_directions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks = {"ab": ResnetGenerator(1, 3, 4, 1), "ba": UnetGenerator(3, 1, 2, 5)}
    for network in networks.values():
        for weight in network.parameters():
            weight.data = 0.2 * torch.randn_like(weight)
    write(tmp_path / "runs/z", "gantrain.gans.cyclegan.CycleGAN", dict(networks))
    said = gantrain(tmp_path, *EXPORT, "run=runs/z")
    assert said.count("the file and the network differ by") == 2
    [snapshot] = (tmp_path / "runs/z/snapshots").iterdir()
    g = package.load(tmp_path / "runs/z")
    for direction, channels in (("ab", 1), ("ba", 3)):
        network, told = load(tmp_path / f"out/{direction}.pt2")
        assert told["direction"] == direction and told["algorithm"] == "CycleGAN"
        assert told["snapshot_sha256"] == hashlib.sha256(snapshot.read_bytes()).hexdigest()
        x = torch.rand(3, channels, 32, 96) * 2 - 1
        y = network(x)
        assert y.std() > 0.02 and (y - g.translate(x, direction)).abs().max() < 1e-5
    refused = gantrain(tmp_path, *EXPORT, "run=runs/z", code=2)
    assert "ab.pt2 already exists" in refused


@pytest.mark.ci
def test_seeds_of_a_stylegan(tmp_path: Path) -> None:
    stylegan(tmp_path / "s", labels=ANIMALS)
    gantrain(tmp_path, *EXPORT, "run=s", "truncation_psi=0.6")
    network, told = load(tmp_path / "out/G.pt2")
    z = torch.from_numpy(np.random.RandomState(5).randn(1, 16).astype(np.float32))
    found = network(z, torch.eye(3)[[1]])
    words = ["seeds=5", "class=dog", "truncation_psi=0.6", "out=pictures"]
    gantrain(tmp_path, "generate", "run=s", *words)
    [picture] = (tmp_path / "pictures").rglob("seed*.png")
    expected = np.asarray(Image.open(picture)).astype(float)
    levels = ((found[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert abs(levels - expected).max() <= 1 and expected.std() > 10
    assert told["truncation_psi"] == "0.6" and '"dog"' in told["labels"]
    r3gan(tmp_path / "r")
    refused = gantrain(tmp_path, *EXPORT, "run=r", "truncation_psi=0.5", code=2)
    assert "truncation_psi needs StyleGAN's latent w" in refused


@pytest.mark.ci
def test_all_files_or_none(tmp_path: Path) -> None:
    networks = {"ab": ResnetGenerator(1, 1, 2, 1), "ba": ResnetGenerator(1, 1, 2, 1)}
    next(networks["ba"].parameters()).data.fill_(float("nan"))
    write(tmp_path / "z", "gantrain.gans.cyclegan.CycleGAN", dict(networks))
    refused = gantrain(tmp_path, *EXPORT, "run=z", code=2)
    assert "not finite" in refused and not (tmp_path / "out").exists()
