"""pix2pix as a user runs it: one direction, pairs, and a test mode that is recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gantrain as package
from tests.helpers.command_line import differences, final_state, gantrain, rows
from tests.helpers.picture_sets import picture

TINY = [
    "model=pix2pix", "model.generator=unet_64", "model.ngf=2", "model.ndf=2", "data.resolution=64",
    "train.epochs=null", "lr.unit=image", "tracking.to=[]",
]  # fmt: skip
SHAPES = [*TINY, "data=shapes", "data.train_images=8", "data.test_images=8"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 8 images, runs/whole, and a folder of pictures."""
    folder = tmp_path_factory.mktemp("pix2pix")
    said = gantrain(
        folder, *SHAPES, "train.kimg=0.008", "name=whole", "train.batch=2",
        "checkpoint.every_kimg=0.004", "tracking.every_kimg=0.004",
        "tracking.health_every_kimg=0.004", "evaluation.every_kimg=0.004",
        "evaluation.metrics=[psnr]", "objective=pairs/psnr",
    )  # fmt: skip
    assert "health ab: D real/fake/held" in said and "· ba:" not in said
    assert "Test images a -> b" in said and "b -> a" not in said
    assert "Objective: pairs/psnr" in said
    (folder / "in").mkdir()
    for i in range(3):
        picture(i, 64, 64 + 64 * (i == 2)).save(folder / f"in/{i}.png")
    return folder


@pytest.mark.parametrize("batch", ["train.batch=2", "train.batch=2 train.microbatch=1"])
def test_a_resumed_run_is_exact(tmp_path: Path, batch: str) -> None:
    more = [*SHAPES, *batch.split(), "model.pool_size=3", "train.ema_kimg=0.01"]
    more += ["lr.schedule=constant", "tracking.every_kimg=0.002"]
    gantrain(tmp_path, *more, "name=whole", "train.kimg=0.012")
    gantrain(tmp_path, *more, "name=half", "train.kimg=0.006")
    gantrain(tmp_path, "resume=runs/half", "train.kimg=0.012")
    whole, half = (final_state(tmp_path / f"runs/{name}") for name in ("whole", "half"))
    for state in (whole, half):
        state.pop("note")
    assert differences(half, whole) == []
    assert rows(tmp_path / "runs/half") == rows(tmp_path / "runs/whole")


@pytest.mark.ci
def test_two_ranks_are_two_microbatches(tmp_path: Path) -> None:
    more = [*SHAPES, "train.batch=2", "train.kimg=0.008", "lr.schedule=constant"]
    gantrain(tmp_path, *more, "name=one", "train.microbatch=1")
    gantrain(tmp_path, *more, "name=ranks", "runtime.devices=2")
    one, ranks = (final_state(tmp_path / f"runs/{name}") for name in ("one", "ranks"))
    assert differences(ranks["gan"], one["gan"]) == []


def test_the_best_snapshot_follows_a_metric_of_pairs(home: Path) -> None:
    run = home / "runs/whole"
    assert (run / "snapshots/best.pt").exists()
    found = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert [row["name"] for row in found] == ["psnr_8/ab"] * 2
    assert all(row["protocol"]["test_mode"] == "as_trained" for row in found)
    result = json.loads((run / "result.json").read_text())
    assert set(result["pairs"]) == {"ab"} and result["objective"]["name"] == "pairs/psnr"


def test_the_other_direction_is_refused_by_name(home: Path) -> None:
    command = ["translate", "run=runs/whole", "input=in", "output=no"]
    said = gantrain(home, *command, "direction=ba", code=2)
    assert "Pix2Pix and cannot translate ba: it has direction=ab alone" in said


def read(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))]


def test_translations_follow_mode_and_seed_and_say_so(home: Path) -> None:
    def translated(name: str, *options: str) -> list[np.ndarray]:
        gantrain(home, "translate", "run=runs/whole", "input=in", f"output={name}", *options)
        return read(home / name)

    first = translated("as_trained")
    alone = translated("alone", "batch=1")
    for name, other in (("test_mode=as_trained", True), ("seed=1", False),
                        ("test_mode=no_dropout", False), ("test_mode=eval", False)):  # fmt: skip
        again = translated(name.replace("=", "-"), name)
        assert all(np.array_equal(x, y) for x, y in zip(again, first, strict=True)) == other, name
    for x, y in zip(alone, first, strict=True):
        assert np.abs(x.astype(int) - y).max() <= 1
    settings = "".join(file.read_text() for file in (home / "seed-1").glob("*.json*"))
    assert '"test_mode": "as_trained"' in settings and '"seed": 1' in settings
    said = gantrain(home, "translate", "run=runs/whole", "input=in", "output=seed-1", code=2)
    assert "seed" in said
    page = (home / "seed-1/index.html").read_text()
    assert "Pix2Pix, a to b" in page and "and back" not in page


def test_bands_need_a_mode_without_dropout(home: Path) -> None:
    command = ["translate", "run=runs/whole", "input=in", "output=bands", "tile=32"]
    assert "add test_mode=no_dropout" in gantrain(home, *command, code=2)
    gantrain(home, *command, "test_mode=no_dropout")
    gantrain(home, *command[:-2], "output=whole", "test_mode=no_dropout")
    for x, y in zip(read(home / "bands"), read(home / "whole"), strict=True):
        assert np.abs(x.astype(int) - y).max() <= 1


def test_evaluate_and_doctor(home: Path) -> None:
    said = gantrain(home, "evaluate", "run=runs/whole", "extractor=random")
    for name in ("fid8", "l1_8/ab", "psnr_8/ab", "ssim_8/ab"):
        assert name in said
    assert "/ba" not in said
    gantrain(home, "evaluate", "run=runs/whole", "metrics=[l1]", "test_mode=eval", "output=e.jsonl")
    row = json.loads((home / "e.jsonl").read_text().splitlines()[-1])
    assert "test_mode" not in row["protocol"]
    said = gantrain(home, "doctor", "run=runs/whole", "samples=4")
    assert "a to b: " in said and "b to a" not in said
    gantrain(home, "report", "run=runs/whole")


@pytest.mark.ci
def test_onnx_files_have_no_dropout(home: Path) -> None:
    command = ["export", "run=runs/whole", "format=onnx"]
    assert "add test_mode=no_dropout" in gantrain(home, *command, "output=x", code=2)
    for mode in ("no_dropout", "eval"):
        said = gantrain(home, *command, f"output={mode}", f"test_mode={mode}")
        assert "onnxruntime and torch differ by" in said
    assert [file.name for file in (home / "no_dropout").iterdir()] == ["ab.onnx"]


def test_other_formats(home: Path) -> None:
    gantrain(home, "export", "run=runs/whole", "output=pth")
    assert [file.name for file in (home / "pth").iterdir()] == ["latest_net_G.pth"]
    gantrain(home, "export", "run=runs/whole", "output=safe", "format=safetensors")
    said = gantrain(home, "export", "run=runs/whole", "output=y", "test_mode=eval", code=2)
    assert "test_mode applies to format=onnx and format=torch_export" in said


def test_in_python(home: Path) -> None:
    g = package.load(home / "runs/whole")
    assert g.directions == ["ab"] and g.test_mode == "as_trained"
    assert g.meta["model"]["test_mode"] == "as_trained"


def test_whole_pairs_are_not_inputs(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / "pairs/train").mkdir(parents=True, exist_ok=True)
        picture(i, 64, 128).save(tmp_path / f"pairs/train/{i}.png")
    more = ["data=paired", "data.root=pairs", "train.kimg=0.002", "name=halves"]
    gantrain(tmp_path, *TINY, *more)
    said = gantrain(tmp_path, "translate", "run=runs/halves", "input=pairs", "output=out")
    assert "give the input's half alone" in said
