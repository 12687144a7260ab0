"""Runs, snapshots and sweeps of an earlier version live on: files made at commit 0405534."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from gantrain import load
from gantrain.build import load_run_data
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


def test_a_run_keeps_the_files_and_classes_that_it_started_with(tmp_path: Path) -> None:
    shutil.copytree(OLD.parent / "before_reading", tmp_path, dirs_exist_ok=True)
    config = tmp_path / "runs/numbers/config.yaml"
    before = yaml.safe_load(config.read_text())["derived"]["data"]
    assert before["labels"]["names"] == ["1", "10", "2", "9"] and "reading" not in before
    known = before.keys() - {"value_range"}  # by domain, under "pixels"
    for kimg in (0.02, 0.028):  # the second time, the run says how it reads
        said = gantrain(tmp_path, "resume=runs/numbers", f"train.kimg={kimg}")
        assert "classes in order: 1 (2), 10 (2), 2 (1), 9 (0)" in said
        assert "not read as images: 1 .gif" in said
        after = yaml.safe_load(config.read_text())["derived"]["data"]
        assert after.pop("reading") == 1 and {k: after[k] for k in known} == {
            k: before[k] for k in known
        }
    typed = yaml.safe_load((config.parent / "overrides.yaml").read_text())
    settings = [x for x in typed if x.partition("=")[0] not in ("name", "resume", "train.kimg")]
    assert "data.root=set" in settings and "data.reading" not in str(settings)
    said = gantrain(tmp_path, "name=new", *settings, "train.kimg=0.004")
    assert "classes in order: 1 (2), 2 (1), 9 (1), 10 (1)" in said


def test_doctor_and_evaluate_read_as_the_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(OLD.parent / "before_reading", tmp_path, dirs_exist_ok=True)
    snapshot = load(tmp_path / "runs/numbers")
    monkeypatch.chdir(tmp_path)
    data = load_run_data(Path("runs/numbers"), None, snapshot)
    assert data.describe()["labels"]["names"] == ["1", "10", "2", "9"]


def test_doctor_says_that_an_old_checkpoint_is_no_snapshot(tmp_path: Path) -> None:
    shutil.copytree(OLD.parent / "before_reading", tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "runs/numbers/snapshots")
    assert "No snapshot yet" in gantrain(tmp_path, "doctor", "run=runs/numbers", CPU)
