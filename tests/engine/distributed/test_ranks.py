"""Several ranks train what one would, and end together. gloo on the CPU, by the command line."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.command_line import (
    TINY,
    differences,
    final_state,
    finish,
    gantrain,
    gantrain_on_ranks,
    interrupt,
    rows,
    start,
)

pytestmark = pytest.mark.multi

# The pools do not fill up (the default is 50 images): full ones draw from what is in them, and two
# half pools hold other images than one.
CYCLEGAN = [
    *[text for text in TINY if "pool_size" not in text],
    "runtime=cpu", "train.batch=4", "train.kimg=0.04", "train.ema_kimg=0.01",
    "tracking.every_kimg=0.02", "lr.schedule=constant",
]  # fmt: skip
STYLEGAN = [
    "model=stylegan", "data=shapes", "data.labels=true", "data.resolution=16",
    "data.train_images=24", "data.test_images=2", "model.z_dim=8", "model.w_dim=8",
    "model.channel_base=64", "model.channel_max=8", "model.ada_kimg=0.1", "model.ada_target=-0.9",
    "model.r1_interval=3", "model.pl_interval=2", "tracking.to=[]",
    "tracking.grid_every_kimg=0", "tracking.every_kimg=0.02", "runtime=cpu", "train.batch=4",
    "train.kimg=0.04",
]  # fmt: skip
# 10 pixels of blur, the default, would leave no difference between real images and fakes but the
# rounding, and Adam would make steps of it.
STYLEGAN3 = [
    *[text for text in STYLEGAN if "pl_interval" not in text and "model=" not in text],
    "model=stylegan3", "model.config=r", "model.channel_max=4", "model.blur_sigma=1",
    "model.blur_kimg=0.03",
]  # fmt: skip
R3GAN = [
    *STYLEGAN[1:6], "model=r3gan", "model.z_dim=8", "model.channel_base=64",
    "model.channel_max=8", "model.augment_p=0.5", *STYLEGAN[-6:],
]  # fmt: skip
CUT = [
    *[text for text in TINY if "pool_size" not in text], "model=cut", "model.num_patches=30",
    "model.flip_equivariance=true", "model.spectral_norm=true", "model.head_width=8",
    "runtime=cpu", "train.batch=4", "train.kimg=0.04", "tracking.every_kimg=0.02",
]  # fmt: skip
DCGAN = [
    "model=dcgan", "data=shapes", "data.resolution=16", "data.train_images=24",
    "data.test_images=2", "model.z_dim=8", "model.g_width=8", "model.d_width=4",
    "train.epochs=null", "lr.unit=image", "tracking.to=[]",
    "tracking.grid_every_kimg=0", "tracking.every_kimg=0.02", "runtime=cpu", "train.batch=4",
    "train.kimg=0.04",
]  # fmt: skip


def state_of(run: Path) -> dict[str, Any]:
    """The newest checkpoint without what names the machine and the number of ranks, and digest."""
    state = final_state(run)
    for key in ("note", "ranks", "sha256"):
        state.pop(key)
    return state


def largest_difference(x: dict[str, Any], y: dict[str, Any]) -> float:
    """Over all tensors of two flat state dicts, relative to a tensor's largest value above 1."""
    tensors = [name for name, value in x.items() if isinstance(value, torch.Tensor)]
    assert x.keys() == y.keys() and tensors
    found = []
    for name in tensors:
        ours, theirs = x[name].double(), y[name].double()
        found.append(float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1)))
    return max(found)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CYCLEGAN by two ranks that gantrain starts."""
    return gantrain_and(tmp_path_factory.mktemp("two"), *CYCLEGAN, "name=two", "runtime.devices=2")


def test_cyclegan_on_two_ranks_is_bitwise_two_microbatches(two: Path, tmp_path: Path) -> None:
    one = gantrain_and(tmp_path, *CYCLEGAN, "name=one", "train.microbatch=2")
    assert len(final_state(two)["ranks"]) == 2
    assert differences(state_of(two), state_of(one)) == []
    for ours, theirs in zip(rows(two), rows(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.ci
def test_cyclegan_on_two_ranks_is_one_rank_with_the_whole_batch(tmp_path: Path) -> None:
    # Plain SGD: Adam makes steps of full size out of the rounding errors in gradients that are zero
    # (biases before an instance norm). Large first weights: instance norm blows small ones up, and
    # their rounding errors with them.
    sgd = ["optimizer=sgd", "optimizer.lr=1e-4", "optimizer.momentum=0"]
    sgd += ["model.init=xavier", "model.init_gain=1"]
    gantrain_on_ranks(tmp_path, 2, *CYCLEGAN, *sgd, "name=two")
    gantrain(tmp_path, *CYCLEGAN, *sgd, "name=one")
    two, one = (state_of(tmp_path / "runs" / name) for name in ("two", "one"))
    assert two["index"] == one["index"] == 10
    assert largest_difference(two["gan"], one["gan"]) < 1e-6
    fresh = state_of(gantrain_and(tmp_path, *CYCLEGAN, *sgd, "name=short", "train.kimg=0.004"))
    assert largest_difference(fresh["gan"], one["gan"]) > 1e-3  # it did learn in the nine steps


def gantrain_and(folder: Path, *overrides: str) -> Path:
    """Run, and where it ran."""
    gantrain(folder, *overrides)
    [name] = [text[5:] for text in overrides if text.startswith("name=")]
    return folder / "runs" / name


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(CUT, id="cut"),
        pytest.param(STYLEGAN, id="stylegan"),
        pytest.param(STYLEGAN3, id="stylegan3"),
        pytest.param(R3GAN, id="r3gan"),
        pytest.param(DCGAN, id="dcgan", marks=pytest.mark.ci),
    ],
)
def test_other_gans_on_two_ranks(tmp_path: Path, command: list[str]) -> None:
    # pl_mean, w_avg, batch norm's statistics, the augmentation and its p are all among the state.
    gantrain_on_ranks(tmp_path, 2, *command, "name=two")
    two = state_of(tmp_path / "runs" / "two")
    one = state_of(gantrain_and(tmp_path, *command, "name=one", "train.microbatch=2"))
    assert two["index"] == 10
    assert largest_difference(two["gan"], one["gan"]) < 1e-6
    if command is STYLEGAN:
        assert float(two["gan"]["pl_mean"]) > 0
    if command in (STYLEGAN, STYLEGAN3):
        assert two["gan"]["ada._extra_state"]["p"] == one["gan"]["ada._extra_state"]["p"] > 0
        assert largest_difference(two["ema"], one["ema"]) < 1e-6


@pytest.mark.ci
def test_resume_is_exact_and_with_other_numbers_of_ranks_goes_on(tmp_path: Path) -> None:
    command = [*CYCLEGAN, "model.pool_size=6", "name=run", "train.batch=6", "train.kimg=0.36"]
    command += ["runtime.devices=2", "checkpoint.every_kimg=0.06", "checkpoint.keep=9"]
    command = [text for text in command if text != "train.batch=4"]
    gantrain_on_ranks(tmp_path / "straight", 2, *command)
    straight = tmp_path / "straight" / "runs" / "run"
    process = start(tmp_path, *command)
    run = tmp_path / "runs" / "run"
    interrupt(process, run, checkpoints=1, how=signal.SIGTERM)
    pools = [rank["local"]["pool.a"]["images"] for rank in final_state(run)["ranks"]]
    assert [len(images) for images in pools] == [3, 3]
    assert not torch.equal(torch.stack(pools[0]), torch.stack(pools[1]))
    gantrain(tmp_path, *command)
    ours, theirs = final_state(run), final_state(straight)
    for state in (ours, theirs):
        state.pop("note")
    assert differences(ours, theirs) == [] and ours["nimg"] == 360
    assert rows(run) == rows(straight)

    said = gantrain(tmp_path, "resume=runs/run", "train.kimg=0.42", "runtime.devices=3")
    assert "Saved by 2 ranks, resumed with 3. The 12 images of its pools are redistributed" in said
    assert [len(r["local"]["pool.b"]["images"]) for r in final_state(run)["ranks"]] == [2, 2, 2]
    said = gantrain(tmp_path, "resume=runs/run", "train.kimg=0.48", "runtime.devices=1")
    assert "Saved by 3 ranks, resumed with 1" in said
    [rank] = final_state(run)["ranks"]
    assert len(rank["local"]["pool.a"]["images"]) == 6
    assert [row["nimg"] for row in rows(run)][-1] == 480


@pytest.mark.ci
def test_torchrun(two: Path, tmp_path: Path) -> None:
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29613"]
    process = start(tmp_path, *CYCLEGAN, "name=run", launcher=command)
    said = finish(process)
    assert said.count("Run directory: runs/run") == 2  # at the beginning and at the end, once each
    assert differences(state_of(tmp_path / "runs" / "run"), state_of(two)) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["runtime.devices=3"], "the nearest that can is train.batch=3"),
        pytest.param(
            ["runtime.devices=2", "train.microbatch=4"],
            "2 on each of 2 ranks",
            marks=pytest.mark.ci,
        ),
        (["runtime.devices=2", "runtime.device=cuda:0"], "a single device"),
        (["runtime.devices=0"], "runtime.devices=0 is out of range"),
    ],
)
def test_what_cannot_be_shared_out_is_said(tmp_path: Path, overrides: list[str], said: str) -> None:
    output = gantrain(tmp_path, *CYCLEGAN, *overrides, code=2)
    assert said in output and "Traceback" not in output
    assert not (tmp_path / "runs").exists()


def test_several_processes_that_would_each_start_ranks(tmp_path: Path) -> None:
    environment = {
        "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29614",
    }  # fmt: skip
    command = [*CYCLEGAN, "train.batch=12", "runtime.devices=3"]
    output = gantrain(tmp_path, *command, code=2, environment=environment)
    assert "torchrun started 2 ranks, 2 of them on this machine, but runtime.devices=3" in output
    output = gantrain(tmp_path, *CYCLEGAN, code=2, environment={"RANK": "0"})
    assert "RANK set, but not WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT" in output
