"""Photos of the page in latent space, compared with what its commands write."""

import re
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.errors import ConfigError
from gantrain.metrics.lpips import LPIPS
from gantrain.studio import projecting
from gantrain.studio.generating import Look, of_pin
from gantrain.studio.open_run import OpenRun
from gantrain.studio.projecting import call_for, project, reporting
from tests.helpers import generators
from tests.helpers.open_runs import open_run, typed
from tests.helpers.single_sets import write_pictures

pytestmark = pytest.mark.multi


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("studio")
    torch.save(LPIPS().state_dict(), home / "lpips.pth")
    write_pictures(home, ["face.png", "grid.png"])
    return home


@pytest.fixture(scope="module")
def style(home: Path) -> OpenRun:
    run = generators.stylegan(home / "style", generators.ANIMALS)
    return open_run(run, lpips=str(home / "lpips.pth"))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def test_the_command_finds_the_same(home: Path, style: OpenRun, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    call = call_for(style, home / "face.png", "w+", 3, "dog")
    made = project(style, call, reporting(lambda done, total: steps.append((done, total)), Event()))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    one = r"LPIPS [0-9.]+, PSNR [0-9.]+ dB"
    assert re.fullmatch(f"{one}; without its noise: {one}", made.text)
    typed(call, tmp_path)
    assert np.array_equal(pixels(tmp_path / "projected/face.png"), pixels(made.found))
    with np.load(tmp_path / "projected/w.npz") as theirs:
        assert made.pin.values is not None and np.array_equal(theirs["w"][0], made.pin.values)
    typed(of_pin(style, made.pin, Look()), tmp_path, "out=again", "grid=false")
    assert np.array_equal(pixels(tmp_path / "again/w0000.png"), pixels(made.pin.shown))
    assert pixels(made.photo).shape == (16, 16, 3)


def test_a_photo_called_like_a_result(home: Path, style: OpenRun) -> None:
    call = call_for(style, home / "grid.png", "w", 1, "dog")
    assert project(style, call, reporting(lambda *_: None, Event())).found.name == "grid.png.png"


def test_z_of_a_generator_without_w(home: Path) -> None:
    run = open_run(generators.r3gan(home / "plain", doublings=2), lpips=str(home / "lpips.pth"))
    assert projecting.spaces(run) == ["z"]
    call = call_for(run, home / "face.png", "z", 2, None)
    made = project(run, call, reporting(lambda *_: None, Event()))
    assert made.pin.values is not None and made.pin.values.shape == (4,)


def test_it_can_be_stopped(home: Path, style: OpenRun) -> None:
    stop = Event()
    call = call_for(style, home / "face.png", "w", 1000, "dog")
    progress = reporting(lambda done, _: stop.set() if done == 2 else None, stop)
    with pytest.raises(ConfigError, match="Stopped after 2 of 1000 steps"):
        project(style, call, progress)


def test_nothing_is_downloaded(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path))
    run = open_run(generators.stylegan(tmp_path / "run"))
    call = call_for(run, home / "face.png", "w", 1, None)
    with pytest.raises(ConfigError, match="gantrain fetch weights=lpips"):
        project(run, call, reporting(lambda *_: None, Event()))


def test_settings_that_do_not_fit_are_sentences(home: Path, style: OpenRun) -> None:
    call = call_for(style, home / "face.png", "w", 1, None)
    with pytest.raises(ConfigError, match="give the class of the images"):
        project(style, call, reporting(lambda *_: None, Event()))
