"""`gantrain studio` before its page opens: what it takes, and what it refuses. See tests/studio."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from gantrain import config
from gantrain.cli.arguments import parse, positional_overrides
from gantrain.config import paths
from gantrain.config.studio import StudioConfig
from gantrain.errors import ConfigError
from tests.helpers import generators


@pytest.fixture(autouse=True)
def _hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gantrain.config.studio.is_installed", lambda package: True)
    generators.dcgan(tmp_path / "runs/a")
    generators.dcgan(tmp_path / "b c")
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        yield


def load(*overrides: str) -> StudioConfig:
    return config.load("studio", compose("studio", [*overrides]))


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(*overrides)
    return str(error.value)


def test_one_run_or_several() -> None:
    assert load("run=a").run == ["runs/a"]  # a name in runs/
    assert load("run=[a,'b c']").run == ["runs/a", "b c"]
    words = positional_overrides(parse(["studio", "a", "b c"]))
    assert load(*words).run == ["runs/a", "b c"]


def test_without_gradio_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantrain.config.studio.is_installed", lambda package: False)
    assert "pip install 'gantrain[studio]'" in refused("run=a")


def test_what_is_wrong_is_said_before_anything_starts() -> None:
    assert "there is no such run directory" in refused("run=[a,c]")
    assert "run=[] names no run" in refused("run=[]")
    assert "run has no value" in refused()
    assert "port=70000" in refused("run=a", "port=70000")
    assert "directions=no.npz: there is no such file" in refused("run=a", "directions=no.npz")
    assert "device=gpu is not a device" in refused("run=a", "device=gpu")
