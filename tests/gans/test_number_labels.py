"""A run whose labels are one number: what it generates follows the number."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain import load
from gantrain.io.tensors import DIGEST
from tests.helpers.command_line import gantrain

TRAIN = [
    "model=stylegan", "data=folder", "data.root=set", "data.labels=true", "data.resolution=16",
    "model.channel_base=512", "model.channel_max=32", "model.z_dim=32", "model.w_dim=32",
    "model.augment=none", "train.batch=32", "tracking.to=[]", "runtime=cpu",
    "runtime.threads=1", "tracking.grid_every_kimg=0", "runtime.workers=0",
    "evaluation.test_images=0",
]  # fmt: skip


@pytest.mark.ci
def test_the_grey_level_follows_the_number(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    random = np.random.default_rng(0)
    labels = []
    for i in range(40):
        age = 20 + 1.5 * i
        level = np.clip(age / 60 * 255 - 85 + random.normal(0, 4, (16, 16)), 0, 255)
        Image.fromarray(level.astype(np.uint8)).convert("RGB").save(tmp_path / f"set/{i:02d}.png")
        labels.append([f"{i:02d}.png", [age]])
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": labels}))
    gantrain(tmp_path, *TRAIN, "name=age", "train.kimg=10")
    model = load(tmp_path / "runs" / "age")
    ages = range(20, 80, 5)
    levels = [float(model.sample(range(30), label=[age]).mean() + 1) * 127.5 for age in ages]
    assert np.corrcoef(ages, levels)[0, 1] > 0.9
    assert levels[-1] - levels[0] > 100  # of about 250 in the images


TINY = ["model.channel_base=32", "model.channel_max=4", "model.z_dim=4", "model.w_dim=4"]


@pytest.mark.ci
@pytest.mark.parametrize(
    "labels",
    [
        [[i / 8, 1 - i / 8] for i in range(8)],
        [[i] for i in range(8)],
        [[i % 2, i // 4, 1] for i in range(8)],
    ],
    ids=["mixes", "numbers", "several classes"],
)
def test_seeds_take_the_labels_of_training_images(
    tmp_path: Path, labels: list[list[float]]
) -> None:
    (tmp_path / "set").mkdir()
    for i in range(8):
        Image.new("RGB", (16, 16), (30 * i, 0, 0)).save(tmp_path / f"set/{i}.png")
    pairs = [[f"{i}.png", label] for i, label in enumerate(labels)]
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": pairs}))
    gantrain(tmp_path, *TRAIN, *TINY, "train.batch=4", "train.kimg=0.008", "name=r")
    model = load(tmp_path / "runs" / "r")
    rows = model.label_batch(range(16), None)
    assert rows is not None
    np.testing.assert_allclose(sorted(rows.tolist()), sorted(2 * labels))
    said = gantrain(tmp_path, "generate", "run=runs/r", "seeds=0-2", "device=cpu", "out=new")
    assert "seed s gets the label of a training image" in said
    assert "nearer to a training image" in gantrain(
        tmp_path, "doctor", "run=runs/r", "samples=8", "device=cpu"
    )
    # An earlier snapshot has no labels of training images; doctor takes them from the data.
    file = model.file
    content = torch.load(file, weights_only=True)
    del content["meta"]["data"]["labels"]["examples"], content[DIGEST]
    torch.save(content, file)
    for checkpoint in (tmp_path / "runs" / "r" / "checkpoints").glob("*.pt"):
        checkpoint.unlink()
    assert "nearer to a training image" in gantrain(
        tmp_path, "doctor", "run=runs/r", "samples=8", "device=cpu"
    )
