"""Runs made to fail are named, healthy ones are left in peace: what the alarms' bounds rest on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantrain.data.shapes import UnpairedShapes
from tests.helpers.command_line import finish, start

pytestmark = pytest.mark.slow

SHAPES = [
    "data=shapes", "data.resolution=16", "train.epochs=null", "lr.unit=image",
    "tracking.to=[]", "tracking.grid_every_kimg=0", "evaluation.test_images=0",
    "tracking.health_every_kimg=0.5", "tracking.health_images=32", "runtime=cpu",
]  # fmt: skip
DCGAN = ["model=dcgan", "train.batch=16", "model.g_width=32", "model.d_width=16"]
STYLEGAN = [
    "model=stylegan", "model.z_dim=32", "model.w_dim=32", "model.channel_base=256",
    "model.channel_max=32", "train.batch=16",
]  # fmt: skip
CYCLEGAN = [
    "model=cyclegan", "model.ngf=8", "model.ndf=8", "model.blocks=2", "model.d_layers=1",
    "train.batch=4",
]  # fmt: skip
FEW = ["data.max_images=16", "data.flip=false"]
STALE = ["model._target_=stale_gan.StaleGAN", "optimizer.lr=1e-3"]
FREE = ["model.lambda_cycle=0", "model.lambda_identity=0", "model.ndf=4", "model.pool_size=0"]

WEAK = ["model.g_width=4", "model.d_width=128", "model.dropout=0"]
NEGATIVES = [
    "data=folder", "data.root=negatives", "data.load_size=16", "model.lambda_identity=0",
    "model.ngf=16", "model.ndf=16", "model.d_layers=2", "optimizer.lr=5e-4",
]  # fmt: skip

FAILURES = {
    "a D that hardly learns": ("collapse", [*DCGAN, *STALE, "train.kimg=4"]),
    "no cycle": ("collapse", [*CYCLEGAN, *FREE, "optimizer.lr=3e-3", "train.kimg=4"]),
    "a G that is too small": ("d_too_strong", [*DCGAN, *WEAK, "train.kimg=6"]),
    "16 pictures": ("overfit", [*DCGAN, *FEW, "train.kimg=12"]),
    "negatives": ("inverted", [*CYCLEGAN, *NEGATIVES, "train.kimg=4"]),
    "a rate out of all bounds": ("nonfinite", [*CYCLEGAN, "optimizer.lr=1e25", "train.kimg=1"]),
}
HEALTHY = {
    "cyclegan": [*CYCLEGAN, "train.kimg=8"],
    "dcgan": [*DCGAN, "train.kimg=10"],
    "stylegan": [*STYLEGAN, "train.kimg=10"],
}


def run(folder: Path, *options: str) -> list[str]:
    """The alarms of a run, as events.jsonl has them."""
    faults = Path(__file__).parents[1] / "helpers" / "faults"
    plugin = {"GANTRAIN_PLUGINS": "stale_gan", "PYTHONPATH": str(faults)}
    process = start(folder, *SHAPES, *options, "name=run", environment=plugin)
    finish(process, 1 if "optimizer.lr=1e25" in options else 0, timeout=1200)
    events = folder / "runs/run/events.jsonl"
    rows = events.read_text().splitlines() if events.exists() else []
    return [json.loads(row)["alarm"] for row in rows]


def doctor(folder: Path, code: int) -> str:
    return finish(start(folder, "doctor", "run=runs/run", "device=cpu"), code)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_named(failure: str, tmp_path: Path) -> None:
    alarm, options = FAILURES[failure]
    if "data=folder" in options:
        draw_negatives(tmp_path / "negatives")
    assert alarm in run(tmp_path, *options)
    assert f", {alarm}: " in doctor(tmp_path, code=1)


@pytest.mark.parametrize("kind", HEALTHY)
def test_a_healthy_run_raises_no_alarm(kind: str, tmp_path: Path) -> None:
    assert run(tmp_path, *HEALTHY[kind]) == []
    said = doctor(tmp_path, code=0)
    assert "No alarms." in said and "SUSPECT" not in said


def test_the_demonstration_raises_no_alarm(tmp_path: Path) -> None:
    finish(start(tmp_path, "name=run", "runtime=cpu"), timeout=1800)
    assert not (tmp_path / "runs/run/events.jsonl").exists()
    doctor(tmp_path, code=0)


def test_samples_learnt_by_heart_are_suspect(tmp_path: Path) -> None:
    alarms = run(tmp_path, *DCGAN, *FEW, "data.max_images=4", "model.g_width=64", "train.kimg=30")
    assert alarms == ["overfit"]
    assert "SUSPECT samples: " in doctor(tmp_path, code=1)


def draw_negatives(root: Path) -> None:
    """Domain b is a's pictures as photographic negatives."""
    data = UnpairedShapes(seed=0, resolution=16, train_images=200, test_images=64)
    data.prepare(batch=1, multiple=4, log=lambda _: None)
    for split, count in (("train", 200), ("test", 64)):
        for domain in "ab":
            folder = root / f"{split}{domain.upper()}"
            folder.mkdir(parents=True)
            for i in range(count):
                get = data.train_item if split == "train" else data.test_item
                image = get("a", i if domain == "a" else (7 * i + 3) % count).transpose(1, 2, 0)
                image = image if domain == "a" else 255 - image
                Image.fromarray(np.ascontiguousarray(image)).save(folder / f"{i:03d}.png")
