"""gantrain export format=onnx: files that say what they are and do what the snapshot does."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

import gantrain as package
from gantrain import config
from gantrain.errors import ConfigError
from gantrain.networks.resnet import ResnetGenerator
from tests.helpers.command_line import gantrain
from tests.helpers.generators import ANIMALS, stylegan, write

pytestmark = pytest.mark.multi


@pytest.mark.ci
def test_both_directions_of_a_cyclegan(tmp_path: Path) -> None:
    networks = {"ab": ResnetGenerator(1, 3, 4, 1), "ba": ResnetGenerator(3, 1, 4, 1)}
    for network in networks.values():
        for weight in network.parameters():
            weight.data = 0.2 * torch.randn_like(weight)
    write(tmp_path / "runs/z", "gantrain.gans.cyclegan.CycleGAN", dict(networks))
    said = gantrain(tmp_path, "export", "run=runs/z", "output=out", "format=onnx")
    assert said.count("onnxruntime and torch differ by") == 2
    [snapshot] = (tmp_path / "runs/z/snapshots").iterdir()
    g = package.load(tmp_path / "runs/z")
    for direction, channels in (("ab", 1), ("ba", 3)):
        file = tmp_path / f"out/{direction}.onnx"
        told = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        assert told["direction"] == direction and told["algorithm"] == "CycleGAN"
        assert told["snapshot_sha256"] == hashlib.sha256(snapshot.read_bytes()).hexdigest()
        x = torch.rand(2, channels, 24, 40) * 2 - 1
        [y] = onnxruntime.InferenceSession(file).run(None, {"pictures": x.numpy()})
        assert abs(y - g.translate(x, direction).numpy()).max() < 1e-4
    refused = gantrain(tmp_path, "export", "run=runs/z", "output=out", "format=onnx", code=2)
    assert "ab.onnx already exists" in refused
    refused = gantrain(
        tmp_path, "export", "run=runs/z", "output=o", "format=onnx", "truncation_psi=0.5", code=2
    )
    assert "truncation_psi needs StyleGAN's latent w" in refused and not (tmp_path / "o").exists()


@pytest.mark.ci
def test_all_files_or_none(tmp_path: Path) -> None:
    networks = {"ab": ResnetGenerator(1, 1, 2, 1), "ba": ResnetGenerator(1, 1, 2, 1)}
    next(networks["ba"].parameters()).data.fill_(float("nan"))
    write(tmp_path / "z", "gantrain.gans.cyclegan.CycleGAN", dict(networks))
    refused = gantrain(tmp_path, "export", "run=z", "output=out", "format=onnx", code=2)
    assert "not finite" in refused and not (tmp_path / "out").exists()


@pytest.mark.ci
def test_seeds_of_a_stylegan(tmp_path: Path) -> None:
    stylegan(tmp_path / "s", labels=ANIMALS)
    gantrain(tmp_path, "export", "run=s", "output=out", "format=onnx", "truncation_psi=0.6")
    file = tmp_path / "out/G.onnx"
    z = np.random.RandomState(5).randn(1, 16).astype(np.float32)
    c = np.eye(3, dtype=np.float32)[[1]]
    [found] = onnxruntime.InferenceSession(file).run(None, {"z": z, "c": c})
    words = ["seeds=5", "class=dog", "truncation_psi=0.6", "out=pictures"]
    gantrain(tmp_path, "generate", "run=s", *words)
    [picture] = (tmp_path / "pictures").rglob("seed*.png")
    expected = np.asarray(Image.open(picture)).astype(float)
    levels = np.clip(np.rint((found[0].transpose(1, 2, 0) + 1) * 127.5), 0, 255)
    assert abs(levels - expected).max() <= 1 and expected.std() > 10
    told = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert told["truncation_psi"] == "0.6" and '"dog"' in told["labels"]
    refused = gantrain(tmp_path, "export", "run=s", "output=p", code=2)
    assert "use format=onnx, torch_export or safetensors" in refused
    assert "G.safetensors" in gantrain(
        tmp_path, "export", "run=s", "output=p", "format=safetensors"
    )
    refused = gantrain(tmp_path, "export", "run=s", "output=q", "truncation_psi=0.5", code=2)
    assert "truncation_psi applies to format=onnx and format=torch_export" in refused


def test_packages_that_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"run": str(stylegan(tmp_path / "s")), "output": "o", "truncation_psi": 1.0}
    unset = dict.fromkeys(("test_mode", "license", "pictures", "data_root", "load_from"))
    cfg = OmegaConf.create({**values, "format": "onnx", "networks": "generators", **unset})
    assert config.load("export", cfg).format == "onnx"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'gantrain\[onnx\]'"):
        config.load("export", cfg)
