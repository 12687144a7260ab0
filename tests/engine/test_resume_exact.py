"""A run that was killed, stopped or resumed equals one that was not, bit for bit."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gantrain.snapshot import load_snapshot
from tests.helpers.command_line import (
    TINY,
    VOLATILE,
    differences,
    final_state,
    finish,
    gantrain,
    interrupt,
    rows,
    start,
    wait_for,
)

pytestmark = pytest.mark.multi

# Everything that has state is on: a full pool, an average, two stages, schedules, rate decay.
STATEFUL = [
    *TINY,
    "train.batch=2",
    "train.kimg=0.24",
    "train.ema_kimg=0.03",
    "lr.schedule=linear",
    "model.adversarial_kimg=0.03",
    "model.lambda_identity=[[0.06,0.5],[0.18,0.0]]",
    "tracking.every_kimg=0.018",  # ticks and checkpoints do not fall together
    "checkpoint.every_kimg=0.04",
    "checkpoint.keep=9",
]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("straight")
    # Cold: with another order in sets than the runs that are compared with it.
    gantrain(folder, *STATEFUL, "name=run", "tracking.to=[tensorboard]", cold=True)
    return folder / "runs" / "run"


def assert_equal_runs(run: Path, reference: Path) -> None:
    ours, theirs = final_state(run), final_state(reference)
    for state in (ours, theirs):
        state.pop("note")  # settings and versions
    assert differences(ours, theirs) == []
    assert rows(run) == rows(reference)


def test_cut_killed_and_resumed(tmp_path: Path) -> None:
    """Three optimizers, flips, places and singular vectors go on as they would have."""
    tiny = [text for text in TINY if "pool_size" not in text]
    command = [
        "model=cut", *tiny, "model.flip_equivariance=true", "model.spectral_norm=true",
        "model.num_patches=30", "model.head_width=8", "train.batch=2", "train.kimg=0.08",
        "train.ema_kimg=0.03", "checkpoint.every_kimg=0.02", "checkpoint.keep=9", "name=run",
    ]  # fmt: skip
    gantrain(tmp_path / "straight", *command)
    run = tmp_path / "runs" / "run"
    interrupt(start(tmp_path, *command), run, checkpoints=1, how=signal.SIGKILL)
    assert final_state(run)["nimg"] < 80
    gantrain(tmp_path, "resume=runs/run")
    assert_equal_runs(run, tmp_path / "straight" / "runs" / "run")
    assert [*final_state(run)["optimizers"]] == ["D", "G", "F"]


def test_the_reference_run_exercises_its_state(straight: Path) -> None:
    state = final_state(straight)
    assert state["nimg"] == 240 and state["index"] == 120
    assert len(state["ranks"][0]["local"]["pool.a"]["images"]) == 3
    assert state["ema"] is not None
    assert differences(state["ema"], {k[2:]: v for k, v in state["gan"].items() if k[0] == "G"})
    assert [row["nimg"] for row in rows(straight)] == [*range(18, 240, 18), 240]


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.ci), 2])
def test_killed_and_resumed(straight: Path, tmp_path: Path, workers: int) -> None:
    run = tmp_path / "runs" / "run"
    process = start(tmp_path, *STATEFUL, "name=run", "tracking.to=[tensorboard]")
    interrupt(process, run, checkpoints=2, how=signal.SIGKILL)
    killed_at = final_state(run)["nimg"]
    assert 80 <= killed_at < 240
    gantrain(tmp_path, "resume=runs/run", f"runtime.workers={workers}")
    assert_equal_runs(run, straight)
    assert events(run) == events(straight)


@pytest.mark.ci
def test_killed_before_the_first_checkpoint(straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    command = [*STATEFUL, "name=run", "tracking.to=[tensorboard]", "checkpoint.every_kimg=10"]
    process = start(tmp_path, *command)
    wait_for(process, lambda: len(lines(run / "metrics.jsonl")) >= 3)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process, -9)
    for path in run.glob("checkpoints/*"):  # on a slow machine the kill may come after the first
        path.unlink()
    assert lines(run / "metrics.jsonl")
    gantrain(tmp_path, "resume=runs/run")
    assert_equal_runs(run, straight)
    assert events(run) == events(straight)


def test_a_torn_checkpoint_costs_one_interval(straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    shutil.copytree(straight, run)
    (run / "result.json").unlink()  # torn before it came to its end
    *_, before, last = sorted(run.glob("checkpoints/*.pt"))
    for path in (last, before):
        path.write_bytes(path.read_bytes()[:-1])
    output = gantrain(tmp_path, "resume=runs/run")
    assert f"{last.name} is damaged" in output and "Resuming at 0.16 kimg" in output
    assert_equal_runs(run, straight)
    assert events(run) == events(straight)


def test_nothing_but_torn_checkpoints_is_refused(finished: Path, tmp_path: Path) -> None:
    (finished / "result.json").unlink()
    for path in finished.glob("checkpoints/*.pt"):
        path.write_bytes(b"PK")
    before = content(finished)
    assert "Of 2 checkpoints" in gantrain(tmp_path, "resume=runs/run", code=2)
    assert content(finished) == before


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.ci)])
def test_stopped_and_resumed(straight: Path, tmp_path: Path, how: signal.Signals) -> None:
    run = tmp_path / "runs" / "run"
    output = interrupt(start(tmp_path, *STATEFUL, "name=run"), run, checkpoints=1, how=how)
    assert f"Stopped by {how.name}" in output
    assert "gantrain resume=runs/run" in output
    assert final_state(run)["nimg"] < 240
    gantrain(tmp_path, *STATEFUL, "name=run", "resume=auto")
    assert_equal_runs(run, straight)


def events(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every TensorBoard scalar that does not depend on the clock."""
    accumulator = EventAccumulator(str(run / "tensorboard"))
    accumulator.Reload()
    found = {}
    for tag in accumulator.Tags()["scalars"]:
        found[tag] = [(event.step, event.value) for event in accumulator.Scalars(tag)]
        steps = [step for step, _ in found[tag]]
        assert steps == sorted(set(steps)), tag
    assert len(found["loss/G/adversarial_a"]) == 240 // 18 + 1
    return {tag: values for tag, values in found.items() if tag not in VOLATILE}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.ci
def test_watching_does_not_change_training(straight: Path, tmp_path: Path) -> None:
    watched = [
        "tracking.grid_every_kimg=0.02",
        "tracking.grid_images=2",
        "evaluation.test_images=2",
    ]
    snapshots = ["checkpoint.snapshot_every_kimg=0.05"]
    gantrain(tmp_path, *STATEFUL, "name=run", *watched, *snapshots)
    run = tmp_path / "runs" / "run"
    assert len(list(run.glob("grids/*.png"))) == 13
    assert_equal_runs(run, straight)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    gantrain(tmp_path, *TINY, "name=run", "train.kimg=0.004")
    return tmp_path / "runs" / "run"


def content(run: Path) -> dict[Path, bytes]:
    """Of every file, but for the note of who looked last."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.read_bytes() for path in files}


def test_changed_model_or_data_is_refused_and_listed(finished: Path, tmp_path: Path) -> None:
    before = content(finished)
    changes = ["model.ngf=3", "data.flip=false", "optimizer=sgd"]
    output = gantrain(tmp_path, "resume=runs/run", *changes, code=2)
    for text in ("model.ngf: 2 -> 3", "data.flip: true -> false", "Adam", "SGD", "resume_force"):
        assert text in output
    assert "Traceback" not in output
    assert content(finished) == before


def test_forced_resume_goes_on(finished: Path, tmp_path: Path) -> None:
    force = ["data.flip=false", "resume_force=true", "train.kimg=0.006"]
    assert "Resuming at 0.004 kimg" in gantrain(tmp_path, "resume=runs/run", *force)
    assert final_state(finished)["nimg"] == 6
    gantrain(tmp_path, "resume=runs/run")  # the forced settings are the run's own now


def test_force_cannot_change_the_shapes(finished: Path, tmp_path: Path) -> None:
    before = content(finished)
    output = gantrain(tmp_path, "resume=runs/run", "model.ngf=3", "resume_force=true", code=2)
    assert "Traceback" not in output and "even if forced" in output
    assert re.search(r"G\.ab\.\S+ is \([\d, ]+\) in the checkpoint but \([\d, ]+\) now", output)
    assert content(finished) == before


@pytest.mark.ci
def test_another_optimizer_begins_anew(finished: Path, tmp_path: Path) -> None:
    for optimizer, old in (("sgd", "Adam"), ("adam", "SGD")):
        force = [f"optimizer={optimizer}", "resume_force=true"]
        budget = f"train.kimg={0.006 if old == 'Adam' else 0.008}"
        assert f"{old} are discarded" in gantrain(tmp_path, "resume=runs/run", *force, budget)
    steps = [s["step"] for s in final_state(finished)["optimizers"]["G"]["state"].values()]
    assert {float(step) for step in steps} == {2.0}


def test_rate_and_budget_may_change(finished: Path, tmp_path: Path) -> None:
    changes = ["train.kimg=0.008", "optimizer.lr=0.5", "lr.schedule=constant"]
    shown = ["tracking.to=[tensorboard]", "tracking.every_kimg=0.002"]
    gantrain(tmp_path, "resume=runs/run", *changes, *shown)
    assert [row["nimg"] for row in rows(finished)] == [4, 6, 8]
    assert list(finished.glob("tensorboard/*"))
    state = final_state(finished)
    assert state["nimg"] == 8
    assert state["optimizers"]["G"]["param_groups"][0]["lr"] == 0.5
    first, now = (finished / f"config{part}.yaml" for part in (".1", ""))
    assert yaml.safe_load(first.read_text())["optimizer"]["lr"] != 0.5
    assert yaml.safe_load(now.read_text())["optimizer"]["lr"] == 0.5
    # The next resume goes on with what is in force now, not with what was typed first.
    gantrain(tmp_path, "resume=runs/run")
    assert final_state(finished)["nimg"] == 8
    assert yaml.safe_load((finished / "config.yaml").read_text())["train"]["kimg"] == 0.008
    assert not (finished / "config.2.yaml").exists()


def test_resuming_a_finished_run_changes_nothing(finished: Path, tmp_path: Path) -> None:
    before, reports = final_state(finished), rows(finished)
    gantrain(tmp_path, "resume=runs/run")
    assert differences(before, final_state(finished)) == []
    assert rows(finished) == reports
    generator = load_snapshot(finished).networks["ab"].state_dict()
    ours = {k.removeprefix("G.ab."): v for k, v in before["gan"].items() if k.startswith("G.ab.")}
    assert differences(dict(generator), ours) == []


def test_a_run_is_never_overwritten(finished: Path, tmp_path: Path) -> None:
    before = content(finished)
    output = gantrain(tmp_path, *TINY, "name=run", "train.kimg=0.004", "seed=1", code=2)
    assert content(finished) == before
    assert "runs/run already exists" in output and "resume=runs/run" in output
    assert "seed: 0 -> 1" in output


def test_auto_begins_and_continues(tmp_path: Path) -> None:
    command = [*TINY, "name=run", "resume=auto"]
    assert "Resuming" not in gantrain(tmp_path, *command, "train.kimg=0.002")
    assert "Resuming at 0.002 kimg" in gantrain(tmp_path, *command, "train.kimg=0.004")
