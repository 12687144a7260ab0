"""The config of `gantrain generate`: what is accepted, and every fault in a sentence."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from gantrain import config as configs
from gantrain.config import paths
from gantrain.config.check import plain_settings
from gantrain.config.generate import GenerateConfig
from gantrain.errors import ConfigError


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder with a run whose snapshot nobody reads here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7" / "snapshots").mkdir(parents=True)
    (tmp_path / "7" / "snapshots" / "snapshot-000001.000.pt").touch()
    (tmp_path / "w.npz").touch()
    (tmp_path / "photos").mkdir()
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("generate", ["run=7", *overrides])


def load(*overrides: str) -> GenerateConfig:
    return configs.load("generate", composed(*overrides))


def problems(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        load(*overrides)
    return error.value.problems


def test_defaults_are_plain_typed_values() -> None:
    config = load()
    assert config.run == "7" and config.class_ is None and config.seeds is None
    assert config.truncation_psi == 1.0 and isinstance(config.interpolation.fps, float)
    plain = plain_settings(config)
    assert plain["class"] is None and plain["style_mixing"]["layers"] is None
    without_hydra = OmegaConf.to_container(composed())
    assert isinstance(without_hydra, dict) and plain.keys() == without_hydra.keys()


@pytest.mark.parametrize(
    "overrides",
    [
        ["seeds=0-31", "class=3", "truncation_psi=0.7", "noise=random"],
        ["seeds=[1,2,5-9]", "class=cat", "truncation_psi=-1", "truncation_cutoff=4"],
        ["seeds='1,2,5-9'", "class=[0,0.5,0.5]"],
        ["seeds=3", "class=[red,round]"],
        ["style_mixing.rows=0-3", "style_mixing.columns=[4,5]", "style_mixing.layers=0-6"],
        ["images=photos", "style_mixing.columns=4", "class=1", "truncation_psi=0.5"],
        ["w=w.npz", "interpolation.frames=10", "interpolation.format=gif"],
        ["images=photos", "out=photos"],  # empty: nothing is written over
        ["device=cuda:1", "precision=tf32"],
    ],
)
def test_accepted(overrides: list[str]) -> None:
    load(*overrides)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds=3-1"], "seeds=3-1 is not allowed: seeds must be whole numbers"),
        (["seeds=1.5"], "seeds=1.5 is not allowed: seeds must be an integer or text or a list"),
        (["style_mixing.rows=a"], "style_mixing.rows=a is not allowed"),
        (["style_mixing.layers=0-200"], "from 0 to 99"),
        (["class=true"], "class=true is not allowed"),
        (["noise=rndom"], "noise=rndom is not a choice. Did you mean noise=random?"),
        (["batch=0"], "batch must be an integer of at least 1"),
        (["interpolation.fps=0"], "interpolation.fps must be a number above 0"),
        (
            ["interpolation=7"],
            "interpolation=7: interpolation is a section. Keys: interpolation.frames",
        ),
        (["+sedes=1"], "sedes is not a key. Did you mean seeds=1?"),
        (["+style_mixing.column=1"], "Did you mean style_mixing.columns=1?"),
        (["~grid"], "grid is missing"),
        (["run=???"], "run has no value: add run=..."),
        (["run=nowhere"], "run=nowhere: there is no such run directory or snapshot file."),
        (["run=photos"], "run=photos has no snapshots"),
        (["out=7"], "out=7 already exists and is not overwritten"),
        (["images=x"], "images=x: there is no such file or folder."),
        (["w=x.npz"], "w=x.npz: there is no such file."),
        (["images=photos", "w=w.npz"], "images and w exclude each other, because images are made"),
        (["seeds=1", "w=w.npz"], "seeds and w exclude each other"),
        (["w=w.npz", "truncation_psi=0.7"], "truncation_psi=0.7 applies to images made from seeds"),
        (["images=photos", "class=cat"], "class=cat applies to images made from seeds, but images"),
        (["style_mixing.rows=1"], "style_mixing.rows needs style_mixing.columns"),
        (["style_mixing.columns=1"], "style_mixing.columns needs style_mixing.rows"),
        (
            ["w=w.npz", "style_mixing.rows=1", "style_mixing.columns=1"],
            "style_mixing.rows and w exclude each other",
        ),
        (
            ["seeds=1", "style_mixing.rows=1", "style_mixing.columns=1"],
            "seeds has no effect with style_mixing",
        ),
        (
            ["style_mixing.rows=1", "style_mixing.columns=1", "interpolation.frames=2"],
            "make the table and the video in two commands",
        ),
        (["device=gpu"], "device=gpu is not a device: use auto, cpu, cuda"),
        (["device=cpu", "precision=tf32"], "precision=tf32 works on NVIDIA GPUs only"),
    ],
)
def test_one_sentence_for_one_fault(overrides: list[str], said: str) -> None:
    [problem] = problems(*overrides)
    assert said in problem


def test_all_faults_at_once() -> None:
    found = problems("noise=rndom", "batch=0", "seeds=b", "interpolation.format=avi", "+psi=1")
    assert len(found) == 5
    found = problems("run=nowhere", "out=7", "w=x", "seeds=1", "device=gpu")
    assert len(found) == 5


def test_an_encoder_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("interpolation.frames=9", "interpolation.format=mp4")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    [problem] = problems(*asked)
    assert "pip install 'gantrain[video]'" in problem
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert load(*asked).interpolation.format == "mp4"


def test_torch_is_not_needed() -> None:
    code = (
        "import gantrain.config.tools, gantrain.config.generate, sys; print('torch' in "
        "sys.modules, 'numpy' in "
        "sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
