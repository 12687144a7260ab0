"""Runs, snapshots and sweeps of an earlier version live on: files made at commit 0405534."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.command_line import gantrain

OLD = Path(__file__).parent / "golden/before_house"
CPU = "device=cpu"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    return tmp_path


def assert_same_image(file: Path, expected: Path) -> None:
    """Other CPUs may round a pixel to the next level."""
    images = [np.asarray(Image.open(path)).astype(int) for path in (file, expected)]
    assert images[0].shape == images[1].shape and np.abs(images[0] - images[1]).max() <= 1, file


@pytest.mark.parametrize("name", ["cyclegan", "stylegan", "stylegan_cycle", "dcgan"])
def test_a_run_resumes(home: Path, name: str) -> None:
    said = gantrain(home, f"resume=runs/{name}", "train.kimg=0.024")
    assert "Resuming at 0.012 kimg" in said
    lines = (home / "runs" / name / "metrics.jsonl").read_text().splitlines()
    first, *_, last = (json.loads(line) for line in lines)
    assert last["nimg"] == 24 and {"loss/G/adversarial", "loss/G/adversarial_b"} & {*last}
    assert {*last} <= {*first} and np.isfinite([last[key] for key in last if "loss/" in key]).all()
    assert json.loads((home / "runs" / name / "result.json").read_text())["nimg"] == 24
    assert "cannot" not in gantrain(home, "report", f"run=runs/{name}")


@pytest.mark.parametrize("name", ["stylegan", "stylegan_cycle", "dcgan"])
def test_a_snapshot_generates_the_same_images(home: Path, name: str) -> None:
    gantrain(home, "generate", f"run=runs/{name}", "seeds=0-1", "out=images", CPU)
    for file in ("seed0000.png", "seed0001.png"):
        assert_same_image(home / "images" / file, home / "expected" / name / file)


def test_a_snapshot_translates_to_the_same_image(home: Path) -> None:
    gantrain(
        home, "translate", "run=runs/cyclegan", "input=input.png", "output=out", "gallery=0", CPU
    )
    assert_same_image(home / "out/input.png", home / "expected/translated.png")


@pytest.mark.parametrize("name", ["cyclegan", "stylegan", "dcgan"])
def test_a_snapshot_has_the_same_metrics(home: Path, name: str) -> None:
    options = ["extractor=random", "metrics=[kid]", "output=values.jsonl", CPU]
    gantrain(home, "evaluate", f"run=runs/{name}", *options)
    rows = map(json.loads, (home / "values.jsonl").read_text().splitlines())
    expected = json.loads((home / "expected" / f"{name}.json").read_text())
    assert {row["name"]: row["value"] for row in rows} == pytest.approx(expected, rel=1e-3)


def test_a_sweep_is_completed(home: Path) -> None:
    command = json.loads((home / "sweeps/sweep/sweep.json").read_text())["command"]
    said = gantrain(home, *command)
    assert "seed-0: already done" in said and "2 done" in said
    assert (home / "sweeps/sweep/seed-1/result.json").is_file()
    assert "2 done" in gantrain(home, "compare", "sweeps/sweep")
