"""Whole runs on data behind an address: the numbers of a local copy, resumes, ranks, no secrets."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gantrain import compose
from gantrain.errors import ConfigError
from gantrain.runs import data_changes
from tests.helpers.command_line import (
    differences,
    final_state,
    finish,
    gantrain,
    gantrain_on_ranks,
    interrupt,
    rows,
    start,
    wait_for,
)
from tests.helpers.remote_stores import SECRET, Proxy, environment, s3_server, upload
from tests.helpers.single_sets import write_pictures

pytestmark = pytest.mark.multi

COMMAND = [
    "model=dcgan", "data=folder", "data.resolution=16", "data.cache=none", "data.labels=true",
    "model.z_dim=8", "model.g_width=8", "model.d_width=4", "runtime=cpu",
    "train.batch=4", "train.epochs=null", "train.kimg=0.12", "train.ema_kimg=0.05",
    "tracking.to=[]", "tracking.every_kimg=0.02",
    "tracking.grid_every_kimg=0", "checkpoint.every_kimg=0.02", "checkpoint.keep=9",
]  # fmt: skip
NAMES = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(6)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Any, Path]]:
    """A store with a set as a folder and a zip; the folder with the set and the local run."""
    here = tmp_path_factory.mktemp("here")
    write_pictures(here / "set", NAMES)
    with s3_server() as (proxy, files):
        upload(here / "set", files, "bucket/set")
        gantrain(here, *COMMAND, f"data.root={here / 'set'}", "name=local")
        yield proxy, files, here


def surroundings(stored: tuple[Proxy, Any, Path], cache: Path) -> dict[str, str]:
    return {**environment(stored[0]), "GANTRAIN_CACHE": str(cache)}


def check_same(run: Path, local: Path) -> None:
    assert rows(run) == rows(local)
    ours, theirs = final_state(run), final_state(local)
    for state in (ours, theirs):
        state.pop("note")  # the settings
    assert differences(ours, theirs) == []


def check_silence(folder: Path, said: str) -> None:
    """No file of the run and no line has the credentials."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found and not [path for path in found if SECRET.encode() in path.read_bytes()]
    assert SECRET not in said


@pytest.mark.ci
@pytest.mark.parametrize("place", ["s3://bucket/set.zip", "s3://bucket/set"])
def test_killed_and_resumed_it_equals_the_undisturbed_local_run(
    stored: tuple[Proxy, Any, Path], tmp_path: Path, place: str
) -> None:
    command = [*COMMAND, f"data.root={place}", "name=run"]
    around = surroundings(stored, tmp_path / "cache")
    run = tmp_path / "runs/run"
    interrupt(
        start(tmp_path, *command, "runtime.workers=2", environment=around),
        run,
        checkpoints=2,
        how=signal.SIGTERM,
    )
    shutil.rmtree(tmp_path / "cache")
    stored[0].faults[:] = ["503", "cut"]
    more = "data.remote_cache_gb=1"  # may be changed
    said = gantrain(tmp_path, *command, more, environment=around)
    assert stored[0].faults == [] and "not those" not in said
    check_same(run, stored[2] / "runs/local")
    check_silence(run, said)
    assert place in (run / "config.yaml").read_text()


@pytest.mark.ci
def test_two_ranks_equal_two_ranks_on_local_images(
    stored: tuple[Proxy, Any, Path], tmp_path: Path
) -> None:
    around = surroundings(stored, tmp_path / "cache")
    command = [*COMMAND, "train.kimg=0.04"]
    for name, root in (("local", str(stored[2] / "set")), ("remote", "s3://bucket/set.zip")):
        words = [*command, f"data.root={root}", f"name={name}"]
        gantrain_on_ranks(tmp_path, 2, *words, environment=around)
    check_same(tmp_path / "runs/remote", tmp_path / "runs/local")


@pytest.mark.ci
def test_a_change_ends_the_run_and_a_resume_says_so(
    stored: tuple[Proxy, Any, Path], tmp_path: Path
) -> None:
    _, files, _ = stored
    names = [
        f"{kind}/{i}.bmp" for kind in ("cat", "dog") for i in range(6)
    ]  # together more than is kept in memory
    write_pictures(tmp_path / "set", names, 720, 720)
    upload(tmp_path / "set", files, "bucket/moving")
    around = surroundings(stored, tmp_path / "cache")
    command = [*COMMAND, "data.root=s3://bucket/moving", "name=run", "train.kimg=99"]
    run = tmp_path / "runs/run"
    process = start(tmp_path, *command, environment=around)
    wait_for(process, lambda: bool(list(run.glob("checkpoints/checkpoint-*.pt"))))
    for name in names:
        files.pipe(f"bucket/moving/{name}", (tmp_path / "set" / name).read_bytes() + b"\0")
    shutil.rmtree(tmp_path / "cache/blocks")
    said = finish(process, code=1)
    assert "has changed since the start" in said
    command[-1] = f"train.kimg={final_state(run)['nimg'] / 1000 + 0.02:g}"
    said = gantrain(tmp_path, *command, f"resume={run}", environment=around)
    assert "Warning: the images are not those that" in said


def test_a_new_version_of_equal_sizes_is_said() -> None:
    old = {"train": 3, "fingerprint": "a", "versions": {"train": "1"}}
    new = {**old, "versions": {"train": "2"}}
    [text] = data_changes.check_resumed(old, new, Path("runs/r"), False)
    assert "as many, but another version" in text
    assert data_changes.check_resumed(old, {**old, "versions": {"train": "1"}}, Path(), False) == []
    local = {key: value for key, value in old.items() if key != "versions"}
    assert data_changes.check_resumed(old, local, Path("runs/r"), False) == []  # a copy


def test_ranks_that_see_other_images_are_told() -> None:
    one = {"train": 3, "fingerprint": "a", "folders": {"train": "/node1/x"}}
    data_changes.check_ranks([one, {**one, "folders": {"train": "/node2/x"}}])
    with pytest.raises(ConfigError, match=r"rank 2 are not those of rank 0 \(fingerprint differ"):
        data_changes.check_ranks([one, one, {**one, "fingerprint": "b"}])
    with pytest.raises(ConfigError, match=r"rank 1 .* \(versions differ"):
        data_changes.check_ranks([one, {**one, "versions": {"train": "2"}}])


@pytest.mark.ci
def test_commands_take_addresses(stored: tuple[Proxy, Any, Path], tmp_path: Path) -> None:
    around = surroundings(stored, tmp_path / "cache")
    said = gantrain(tmp_path, "prepare", "data.root=s3://bucket/set", environment=around)
    assert "images of train from s3://bucket/set" in said and "12" in said
    said = gantrain(tmp_path, "prepare", "s3://bucket/set.zip", "pack=x.zip", environment=around)
    assert "data.root=x.zip" in said
    run = f"run={stored[2] / 'runs/local'}"
    metrics = ["metrics=[kid]", "extractor=random", "num_images=12", "batch=4"]
    found = [
        gantrain(tmp_path, "evaluate", run, *metrics, f"data_root={root}", environment=around)
        for root in ("s3://bucket/set.zip", stored[2] / "set")
    ]
    values = [[line for line in text.splitlines() if "kid" in line] for text in found]
    assert values[0] and values[0] == values[1]
    gantrain(tmp_path, "doctor", run, "data_root=s3://bucket/set", "samples=4", environment=around)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["data=folder", "data.root=https://me:hush@h/x.zip"], "GANTRAIN_SIGNED_URLS"),
        (["data=folder", "data.rot=https://h/x.zip?X-Amz-Signature=hush"], "data.root"),
    ],
)
def test_secrets_on_the_command_line_are_neither_shown_nor_kept(
    tmp_path: Path, words: list[str], expected: str
) -> None:
    said = gantrain(tmp_path, *words, code=2)
    assert expected in said and "hush" not in said and not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "place",
    [
        "s3://bucket/a b/{x,y}=1@2/#set&.zip",
        "hf://datasets/u/r@main/x",
        "https://h.org/a%20b/x.zip",
        "s3://bucket/ü/$x/(1)/[2]",
    ],
)
def test_addresses_need_no_quoting_for_hydra(place: str) -> None:
    """What arrives is what was typed."""
    assert compose("data=folder", f"data.root={place}").data["root"] == place
