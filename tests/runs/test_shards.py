"""Whole runs on tar archives: the losses and weights of a run on the same images in a folder."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.command_line import (
    differences,
    final_state,
    gantrain,
    gantrain_on_ranks,
    interrupt,
    rows,
    start,
)
from tests.helpers.single_sets import write_pictures
from tests.helpers.tar_files import pack_folder

pytestmark = pytest.mark.multi

COMMAND = [
    "model=dcgan", "data=folder", "data.resolution=16", "data.cache=none", "data.labels=true",
    "model.z_dim=8", "model.g_width=8", "model.d_width=4", "runtime=cpu",
    "train.batch=4", "train.epochs=null", "train.kimg=0.08", "train.ema_kimg=0.05",
    "tracking.to=[]", "tracking.every_kimg=0.02",
    "tracking.grid_every_kimg=0", "checkpoint.every_kimg=0.02", "checkpoint.keep=9",
]  # fmt: skip
NAMES = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(6)]
RANGE = "data.root=shards/set-{08..10}.tar"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the images, the archives, and the run on the images."""
    here = tmp_path_factory.mktemp("here")
    (here / "shards").mkdir()
    root = write_pictures(here / "set", NAMES)
    pack_folder(root, *[here / f"shards/set-{i:02d}.tar" for i in (8, 9, 10)])
    gantrain(here, *COMMAND, "data.root=set", "name=plain")
    yield here


def check_same(run: Path, other: Path) -> None:
    assert rows(run) == rows(other)
    states = final_state(run), final_state(other)
    for state in states:
        state.pop("note")  # the settings
    assert differences(*states) == []


def test_killed_and_resumed_it_equals_the_run_on_the_folder(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here / "shards", tmp_path / "shards")
    command = [*COMMAND, RANGE, "name=run", "runtime.workers=2"]
    around = {"GANTRAIN_CACHE": str(tmp_path / "cache")}
    run = tmp_path / "runs/run"
    process = start(tmp_path, *command, environment=around)
    interrupt(process, run, checkpoints=2, how=signal.SIGTERM)
    said = gantrain(tmp_path, *command, environment=around)
    assert "not those" not in said and "classes in order: cat (6), dog (6)" in said
    check_same(run, here / "runs/plain")


@pytest.mark.ci
def test_two_ranks_equal_two_ranks_on_the_folder(here: Path, tmp_path: Path) -> None:
    around = {"GANTRAIN_CACHE": str(tmp_path / "cache")}
    for name, root in (
        ("plain", f"data.root={here / 'set'}"),
        ("run", f"data.root={here / 'shards'}"),
    ):
        words = [*COMMAND, "train.kimg=0.04", root, f"name={name}"]
        gantrain_on_ranks(tmp_path, 2, *words, environment=around)
    check_same(tmp_path / "runs/run", tmp_path / "runs/plain")


@pytest.mark.ci
def test_commands_that_read_the_images_of_a_run(here: Path, tmp_path: Path) -> None:
    """A run on the folder, examined with the archives in its place."""
    run, found = here / "runs/plain", []
    small = ["extractor=random", "metrics=[kid]", "num_images=12", "device=cpu"]
    for root in ("set", "shards"):
        words = [f"data_root={here / root}", f"output={tmp_path / root}.json"]
        gantrain(tmp_path, "evaluate", f"run={run}", *small, *words)
        row = json.loads((tmp_path / f"{root}.json").read_text())
        found.append([row["value"], row["protocol"]])
        gantrain(tmp_path, "doctor", f"run={run}", "samples=4", "device=cpu", words[0])
    assert found[0] == found[1]
