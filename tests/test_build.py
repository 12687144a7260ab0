"""From a checked config to objects: what follows from the machine and the budget."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from gantrain import build
from gantrain.config import derived, paths
from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_run_config
from gantrain.data.base import Dataset
from gantrain.data.loader import ItemCost
from gantrain.engine.optim import scheduled, settings_at
from gantrain.errors import ConfigError

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        yield


RANDOM = ["evaluation.extractor=random"]  # needs no weights


def load(*overrides: str) -> RunConfig:
    return load_run_config(compose("train", list(overrides)), typed_keys=[])


@pytest.mark.parametrize(
    ("overrides", "images_per_epoch", "tick", "grid"),
    [
        (["data=horse2zebra"], 1334, 100, 1000),  # 266.8 kimg
        (["model=stylegan", "data=shapes"], 100, 4000, 50_000),  # 25,000 kimg
        (["model=stylegan", "data=shapes", "train.kimg=100"], 100, 640, 1000),  # 20 steps of 32
        (["model=dcgan", "data=shapes"], 1000, 2560, 1000),  # 100 kimg; 20 steps of 128
        (["data=shapes", "tracking=none"], 1000, 100, 0),
        (["data=shapes", "tracking.every_kimg=0.01", "tracking.grid_every_kimg=3"], 9, 10, 3000),
    ],
)
def test_reports_and_grids_by_the_budget(
    overrides: list[str], images_per_epoch: int, tick: int, grid: int
) -> None:
    """Thousands of reports and hundreds of grids in a whole run, of any length."""
    config = load(*overrides)
    config = replace(config, train=replace(config.train, batch=config.train.batch or 32))
    plan = build.make_plan(config, images_per_epoch)
    assert (plan.tick, plan.grid_every) == (tick, grid)
    assert plan.health_every % plan.tick == 0


@pytest.mark.parametrize(
    ("overrides", "checkpoints", "snapshots", "evaluations", "grids"),
    [
        ([], 10_000, 50_000, 0, 1000),
        (["checkpoint.every_epochs=2", "checkpoint.snapshot_every_epochs=0.5"], 2400, 600, 0, 1000),
        (["evaluation.every_epochs=3", *RANDOM], 10_000, 50_000, 3600, 1000),
        (["train.epochs=4", "tracking.grid_every_epochs=1"], 960, 50_000, 0, 1200),  # a fifth
        (["train.epochs=null", "train.kimg=0.003", "lr.unit=image"], 1, 50_000, 0, 1000),
    ],
)  # fmt: skip
def test_cadences_in_passes_and_at_least_five_checkpoints(
    overrides: list[str], checkpoints: int, snapshots: int, evaluations: int, grids: int
) -> None:
    plan = build.make_plan(load("data=shapes", *overrides), 1200)
    assert (plan.checkpoint_every, plan.snapshot_every) == (checkpoints, snapshots)
    assert (plan.evaluate_every, plan.grid_every) == (evaluations, grids)


def test_a_cadence_that_another_replaces_is_told() -> None:
    overrides = ["checkpoint.every_kimg=3", "checkpoint.every_epochs=1"]
    config = load_run_config(compose("train", overrides), ["checkpoint.every_kimg"])
    assert config.warnings == (
        "checkpoint.every_kimg has no effect: checkpoint.every_epochs is given instead.",
    )
    config = load_run_config(compose("train", overrides[1:]), ["checkpoint.every_epochs"])
    assert config.warnings == ()


OPTIMIZERS = sorted(file.stem for file in (paths.config_dir() / "optimizer").glob("*.yaml"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_integers_for_numbers(name: str) -> None:
    """torch refuses betas=[0,0.9] and the like."""
    config = load(f"optimizer={name}", *["model=r3gan"] * (name == "r3gan"))
    for key, value in config.optimizer.items():
        whole = [0, *value[1:]] if isinstance(value, list) and key == "betas" else value
        if isinstance(value, float) and key in ("lr", "momentum", "weight_decay", "t0", "d"):
            whole = 1 if key in ("lr", "d") else round(value)
        config.optimizer[key] = whole
    config = derived.fill_in(config, (64, 64))  # the length of ramps
    optimizer, settings = build.resolve("optimizer", config.optimizer)
    settings |= settings_at(scheduled(settings), 0)
    layer = torch.nn.Linear(1, 1)
    layer(torch.ones(1, 1)).sum().backward()
    optimizer(layer.parameters(), **settings).step()
    assert all(p.isfinite().all() for p in layer.parameters())


FREE = ItemCost(0.0, 256**2)
DEAR = ItemCost(10.0, 256**2)  # a core loads an image in ten seconds


@pytest.mark.parametrize(
    ("cores", "device", "local_ranks", "item", "workers"),
    [
        # As many as there are cores for.
        (1, CPU, 1, DEAR, 0), (2, CPU, 1, DEAR, 1), (16, CPU, 1, DEAR, 2), (16, CPU, 8, DEAR, 1),
        (1, CUDA, 1, DEAR, 1), (2, CUDA, 1, DEAR, 1), (4, CUDA, 1, DEAR, 3),
        (16, CUDA, 1, DEAR, 8), (16, CUDA, 4, DEAR, 3),
        # As many as it takes: a CPU trains on 2 images of 256 px in a second, a GPU on 305.
        (16, CPU, 1, FREE, 0), (16, CPU, 1, ItemCost(0.004, 256**2), 0),
        (16, CPU, 1, ItemCost(0.006, 256**2), 1), (16, CPU, 1, ItemCost(0.3, 256**2), 2),
        (16, CUDA, 1, FREE, 1), (16, CUDA, 1, ItemCost(0.0015, 256**2), 1),
        (16, CUDA, 1, ItemCost(0.0055, 256**2), 4), (16, CUDA, 1, ItemCost(0.0055, 2 * 256**2), 2),
        (16, CUDA, 1, ItemCost(0.00004, 8**2), 2),
    ],
)  # fmt: skip
def test_data_workers_by_cores_and_the_cost_of_an_image(
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    device: torch.device,
    local_ranks: int,
    item: ItemCost,
    workers: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    config = load("data=shapes")
    assert build.data_workers(config.runtime, device, item, local_ranks) == workers
    assert build.data_workers(load("runtime.workers=5").runtime, device, item, local_ranks) == 5


def test_data_workers_where_no_affinity_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert build.data_workers(load().runtime, CPU, DEAR) == 0


def test_tf32_is_refused_where_the_device_that_was_found_has_none() -> None:
    assert build.make_precision(load("runtime=cpu").runtime).name == "fp32"
    assert (
        build.make_precision(load("runtime=cpu", "runtime.precision=auto").runtime).name == "fp32"
    )
    runtime = replace(load().runtime, device="cpu", precision="tf32")
    with pytest.raises(ConfigError, match=r"this run is on cpu: use runtime.precision=auto"):
        build.make_precision(runtime)


class Labelled:
    """Test images whose pixels are their index."""

    channels: ClassVar = {"image": 1}

    def __init__(self, labels: list[list[float]], about: dict[str, object] | None) -> None:
        self.labels, self.about, self.label_dim = labels, about, len(labels[0])

    def test_count(self, stream: str) -> int:
        return len(self.labels)

    def test_item(self, stream: str, index: int) -> np.ndarray:
        if stream == "label":
            return np.array(self.labels[index], np.float32)
        return np.full((1, 2, 2), index, np.uint8)

    def describe(self) -> dict[str, object]:
        return {"labels": self.about}


ONE_HOT = np.eye(3).tolist()
CLASSES = {"kind": "class", "names": ["blue", "green", "red"]}


@pytest.mark.parametrize(
    ("labels", "about", "count", "indices", "names"),
    [
        ([ONE_HOT[i // 4] for i in range(12)], CLASSES, 5, [0, 1, 4, 5, 8],
         ["blue", "blue", "green", "green", "red"]),
        ([ONE_HOT[0]] * 9 + [ONE_HOT[2]], CLASSES, 4, [0, 1, 9, 9],  # repeated: it has no other
         ["blue", "blue", "red", "red"]),
        ([ONE_HOT[i // 4] for i in range(12)], CLASSES, 2, [0, 4], ["blue", "green"]),
        ([[3.0], [1], [2], [0]], {"kind": "float", "names": ["0"]}, 2, [3, 2], ["0", "2"]),
        ([[1.0, 1], [0, 0], [1, 0]], {"kind": "multi", "names": ["a", "b"]}, 3, [0, 2, 1],
         ["a, b", "a", "no class"]),
        ([ONE_HOT[1], ONE_HOT[0]], None, 2, [1, 0], ["0", "1"]),  # a set of a plug-in
    ],
)  # fmt: skip
def test_grids_show_many_labels(
    labels: list[list[float]],
    about: dict[str, object] | None,
    count: int,
    indices: list[int],
    names: list[str],
) -> None:
    data = cast(Dataset, Labelled(labels, about))
    batch = build.preview_batch(data, count)
    assert batch["image"][:, 0, 0, 0].tolist() == indices
    assert batch["label"].tolist() == [labels[i] for i in indices]
    assert build.preview_names(data, batch) == names


def test_what_is_compiled_is_kept_in_the_users_cache(tmp_path: Path) -> None:
    """In a process of its own: torch reads the folder once, with its first optimizer."""
    code = """
import os, torch
from hydra import initialize_config_dir
from gantrain import build
from gantrain.config import derived, paths
from gantrain.runs import training
from tests.test_build import load
with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
    config = load("runtime.device=cpu", "runtime.compile=true")
build.make_precision(config.runtime)
torch.optim.Adam([torch.zeros(1)])
print(os.environ[build.COMPILER_CACHE])
"""
    environment = {k: v for k, v in os.environ.items() if k != build.COMPILER_CACHE}
    environment |= {"GANTRAIN_CACHE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == str(tmp_path / "compiled")
