"""A run from its beginning to its end and after: the same command is the same run."""

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from gantrain.config import paths
from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_run_config
from gantrain.errors import ConfigError, RunError
from gantrain.io import locks
from gantrain.runs import objective, preflight
from gantrain.runs.directory import RunDirectory
from gantrain.runs.training import run
from tests.helpers.command_line import (
    ENVIRONMENT,
    TINY,
    differences,
    final_state,
    gantrain,
    interrupt,
    rows,
    start,
    wait_for,
)

SHORT = [*TINY, "name=run", "train.kimg=0.004", "tracking.every_kimg=0.002"]
SHORT += ["evaluation.test_images=2"]
HERE = Path("runs/run")


@pytest.fixture(autouse=True)
def _hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        yield


def check(*overrides: str) -> RunConfig:
    """What is looked at before torch is imported."""
    config = load_run_config(compose("train", list(overrides)), typed_keys=[])
    preflight.check(config)
    return config


def train(*overrides: str) -> float | None:
    ended = run(check(*overrides), list(overrides), "shapes")
    return ended.objective if ended else None


def problem(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        train(*overrides)
    [text] = caught.value.problems
    return text


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    gantrain(folder, *SHORT)
    return folder / HERE


@pytest.fixture
def done(original: Path) -> Path:
    """A finished run of SHORT."""
    shutil.copytree(original, HERE)
    return HERE


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def result(folder: Path = HERE) -> dict:
    return json.loads((folder / "result.json").read_text())


AGAIN = [
    SHORT,
    [*SHORT, "resume=auto"],
    [*SHORT, "resume=runs/run"],
    [*SHORT, "resume=auto", "train.kimg=0.003"],
    [*SHORT, "runtime.workers=1", "runtime.threads=1", "tracking.every_kimg=1"],
]


@pytest.mark.parametrize("command", AGAIN, ids=lambda command: " ".join(command[len(SHORT) :]))
def test_a_finished_run_returns_its_recorded_result(
    done: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(done)
    assert train(*command) == pytest.approx(result()["headline"])
    said = capsys.readouterr().out
    assert "runs/run is finished, at 0.004 kimg" in said and "this model" in said
    assert content(done) == before


def test_another_objective_of_a_finished_run_is_looked_up(done: Path) -> None:
    assert train(*SHORT, "objective=loss/G/cycle_a") == rows(done)[-1]["loss/G/cycle_a"]
    assert math.isnan(train(*SHORT, "objective=loss/G/other") or 0)


def test_a_finished_run_needs_no_pictures(done: Path) -> None:
    config = yaml.safe_load((done / "config.yaml").read_text())
    data = {"_target_": "gantrain.data.folder.UnpairedFolder", "root": "gone"}
    missing = [f"+data.{key}={value}" for key, value in data.items() if key != "_target_"]
    missing = ["data=folder", "data.root=gone", *[t for t in SHORT if not t.startswith("data")]]
    with pytest.raises(ConfigError, match="gone"):
        check(*missing, "name=other")
    config["data"] = compose("train", missing).data
    loaded = load_run_config(compose("train", missing), typed_keys=[])
    (done / "config.yaml").write_text(yaml.safe_dump({**config, "data": loaded.data}))
    assert train(*missing) == pytest.approx(result()["headline"])


def test_a_larger_budget_goes_on(done: Path) -> None:
    train(*SHORT, "resume=auto", "train.kimg=0.006")
    assert final_state(done)["nimg"] == 6 == result()["nimg"]
    saved = [yaml.safe_load(path.read_text()) for path in sorted(done.glob("config*.yaml"))]
    assert [config["train"]["kimg"] for config in saved] == [0.004, 0.006]


def test_the_first_command_of_a_run_that_has_gone_further(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*SHORT, "resume=runs/run", "train.kimg=0.006")
    before = content(done)
    assert train(*SHORT) == pytest.approx(result()["headline"])
    assert "runs/run is finished, at 0.006 kimg" in capsys.readouterr().out
    train(*SHORT, "train.kimg=0.006")
    assert "runs/run already exists" in problem(*SHORT, "train.kimg=0.005")
    assert content(done) == before
    (done / "result.json").unlink()  # as if stopped on the way
    told = problem(*SHORT)
    assert "was started with these settings but later resumed with different ones" in told
    assert "train.kimg: 0.006 -> 0.004" in told
    assert "To continue with those: gantrain resume=runs/run" in told
    train(*SHORT, "resume=runs/run")
    assert result()["nimg"] == 6


def test_a_longer_run_under_way_does_not_undo_what_was_reached(done: Path) -> None:
    train(*SHORT, "resume=runs/run", "train.kimg=0.006")
    shorter = {**result(), "nimg": 4}
    (done / "result.json").write_text(json.dumps(shorter))  # before the longer one came to its end
    assert train(*SHORT) == pytest.approx(shorter["headline"])
    train(*SHORT, "train.kimg=0.006")
    assert result()["nimg"] == 6


# For a part of a checkpoint, of the last one or of one beside the training; for a few reports.
@pytest.mark.parametrize(("room", "every"), [(20_000, 1.0), (20_000, 0.002), (300, 1.0)])
def test_a_full_disk_ends_with_a_sentence_and_the_last_checkpoint(
    done: Path, room: int, every: float
) -> None:
    before = final_state(done)
    longer = [*SHORT, "resume=runs/run", "train.kimg=0.008", f"checkpoint.every_kimg={every}"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (done / "metrics.jsonl").write_text("")
    config = check(*longer)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(RunError, match="Writing failed") as caught:
            run(config, longer, "shapes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "(File too large)" in str(caught.value)
    assert differences(final_state(done), before) == [] and not list(done.rglob("*.tmp"))
    train(*longer)
    assert result()["nimg"] == 8


def test_epochs_are_compared_as_images(done: Path) -> None:
    epochs = [*SHORT, "name=epochs", "train.kimg=null"]
    train(*epochs, "train.epochs=0.5")
    before = content(Path("runs/epochs"))
    train(*epochs, "train.epochs=0.25", "resume=auto")
    train(*epochs, "train.epochs=0.5", "resume=auto")
    assert content(Path("runs/epochs")) == before
    train(*epochs, "train.epochs=0.75", "resume=auto")
    assert result(Path("runs/epochs"))["nimg"] == 6


def test_other_test_images_are_measured_without_training(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is suggested next is more than what was trained."""
    train(*SHORT, "resume=auto", "train.kimg=0.01")
    before = final_state(done)
    more = ["evaluation.test_images=1", "tracking.to=[]"]
    train(*SHORT, "resume=auto", *more)
    assert result()["nimg"] == 10 and differences(final_state(done), before) == []
    assert "gantrain resume=runs/run train.kimg=0.016\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("seed=1", "seed: 0 -> 1"),
        ("train.kimg=0.006", "train.kimg: 0.004 -> 0.006"),
        ("optimizer.lr=1", "optimizer.lr: 0.0002 -> 1"),
        ("model.lambda_cycle=5", "model.lambda_cycle: 10.0 -> 5"),
        ("init_from=other", "init_from: null -> other"),
        ("data=folder", "; and"),
    ],
)
def test_other_settings_are_refused_and_listed(done: Path, change: str, said: str) -> None:
    before = content(done)
    kept = [text for text in SHORT if not (change == "data=folder" and text.startswith("data"))]
    with pytest.raises(ConfigError) as caught:
        check(*kept, change)
    text = caught.value.problems[0]
    assert "runs/run already exists, with other settings" in text and said in text
    assert "resume=runs/run" in text and "another name=" in text
    assert content(done) == before


def test_only_the_first_rank_looks(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    check(*SHORT, "seed=1")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match="other settings"):
        check(*SHORT, "seed=1")


@pytest.mark.multi
@pytest.mark.ci
def test_the_same_command_goes_on(tmp_path: Path) -> None:
    """And comes to the same end as a run that nothing happened to."""
    command = [*SHORT, "name=one", "checkpoint.every_kimg=0.02", "train.kimg=0.12"]
    train(*command, "out=straight")
    one = tmp_path / "runs/one"
    output = interrupt(start(tmp_path, *command), one, checkpoints=1, how=signal.SIGKILL)
    assert final_state(one)["nimg"] < 120, output
    output = gantrain(tmp_path, *command, "runtime.workers=1")
    assert "runs/one was started with these settings: resuming it." in output
    straight = tmp_path / "straight/one"
    ours, theirs = final_state(one), final_state(straight)
    assert ours.pop("note") != theirs.pop("note")  # out
    assert differences(ours, theirs) == []
    assert rows(one) == rows(straight) and result(one)["pairs"] == result(straight)["pairs"]


@pytest.mark.parametrize("auto", [[], ["resume=auto"]], ids=str)
@pytest.mark.parametrize("left", [(), (".lock", "overrides.yaml", ".config.yaml.7.tmp")], ids=str)
def test_a_run_killed_before_it_began_begins(auto: list[str], left: tuple[str, ...]) -> None:
    HERE.mkdir(parents=True)
    for name in left:
        (HERE / name).write_text("x")
    train(*SHORT, *auto)
    assert result()["nimg"] == 4 and not list(HERE.glob(".*.tmp"))
    assert "name=run" in yaml.safe_load((HERE / "overrides.yaml").read_text())


@pytest.mark.parametrize("auto", [[], ["resume=auto"]], ids=str)
def test_a_folder_of_other_things_is_left_alone(auto: list[str]) -> None:
    HERE.mkdir(parents=True)
    (HERE / "thesis.txt").touch()
    assert "runs/run already exists, but is not a run" in problem(*SHORT, *auto)
    assert os.listdir(HERE) == ["thesis.txt"]


def test_a_resume_that_changes_nothing_records_nothing(done: Path) -> None:
    (done / "result.json").unlink()
    before = {name: (done / name).read_bytes() for name in ("config.yaml", "overrides.yaml")}
    train(*SHORT, "resume=runs/run")
    assert {name: (done / name).read_bytes() for name in before} == before
    assert not list(done.glob("*.1.yaml"))
    (done / "result.json").unlink()
    train(*SHORT, "resume=auto", "optimizer.lr=0.5", "resume_force=true")
    saved = [yaml.safe_load(path.read_text()) for path in sorted(done.glob("config*.yaml"))]
    assert [config["optimizer"]["lr"] for config in saved] == [0.0002, 0.5]
    assert {config["resume"] for config in saved} == {None}


def test_a_run_remembers_what_its_weights_came_from(done: Path) -> None:
    new = [*SHORT, "name=new", "init_from=runs/run"]
    train(*new)
    (Path("runs/new/result.json")).unlink()
    shutil.rmtree("runs/new/checkpoints")  # as if killed before the first one
    expected = final_of_new_run(new)
    config = yaml.safe_load(Path("runs/new/config.yaml").read_text())
    assert config["init_from"] == "runs/run"
    train(*new[:-1], "resume=runs/new")
    assert differences(final_state(Path("runs/new"))["gan"], expected) == []
    assert yaml.safe_load(Path("runs/new/config.yaml").read_text())["init_from"] == "runs/run"


def final_of_new_run(command: list[str]) -> dict:
    train(*command, "out=elsewhere")
    return final_state(Path("elsewhere/new"))["gan"]


def test_the_source_of_the_weights_may_be_gone_once_there_is_a_checkpoint(done: Path) -> None:
    new = [*SHORT, "name=new", "init_from=runs/run"]
    train(*new)
    (Path("runs/new/result.json")).unlink()
    shutil.rmtree(done)
    train(*new)
    assert result(Path("runs/new"))["nimg"] == 4
    other = problem(*SHORT, "name=new", "resume=auto", "init_from=another")
    assert "init_from: runs/run -> another" in other


@pytest.mark.multi
@pytest.mark.ci
def test_one_process_at_a_time(tmp_path: Path) -> None:
    long = [*TINY, "name=run", "train.kimg=100", "checkpoint.every_kimg=100", "runtime.workers=1"]
    directory = RunDirectory(tmp_path / HERE)
    assert not directory.in_use()
    process = start(tmp_path, *long, "tracking.every_kimg=0.002")
    wait_for(process, lambda: len(directory.last_report()) > 0)
    assert directory.in_use()
    busy = f"runs/run is being trained by process {process.pid} on "
    for resume in ("null", "auto", "runs/run"):
        assert busy in problem(*long, f"resume={resume}")
    output = gantrain(tmp_path, *long, code=2)
    assert busy in output and "Traceback" not in output
    process.kill()  # alone: its data worker notices some seconds later
    process.wait()
    assert not directory.in_use()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def unfinished(*more: str) -> None:
    """A run as a kill before its first checkpoint leaves it."""
    train(*SHORT, *more)
    written_later = ("result.json", "metrics.jsonl")
    later = [HERE / name for name in written_later]
    for path in [*HERE.glob("checkpoints/*"), *HERE.glob("snapshots/*"), *later]:
        path.unlink()


def test_a_run_without_a_checkpoint_leaves_its_name_free(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unfinished()
    (HERE / "config.1.yaml").write_text("x: 1")
    (HERE / "checkpoints/.checkpoint-000000.002.pt.7.tmp").write_text("torn")
    train(*SHORT, "model.ngf=3")
    assert "replacing a run that ended before its first checkpoint" in capsys.readouterr().out
    assert yaml.safe_load((HERE / "config.yaml").read_text())["model"]["ngf"] == 3
    assert [row["nimg"] for row in rows(HERE)] == [2, 4] and not list(HERE.glob("config.1.yaml"))


def test_what_a_run_without_a_checkpoint_does_not_leave_is_kept() -> None:
    unfinished()
    (HERE / "notes.txt").write_text("mine")
    assert "already exists, with other settings" in problem(*SHORT, "model.ngf=3")
    (HERE / "notes.txt").unlink()
    (HERE / "snapshots/best.pt").write_text("mine")
    assert "already exists, with other settings" in problem(*SHORT, "model.ngf=3")


def test_a_run_whose_checkpoints_are_lost_is_kept() -> None:
    unfinished()
    (HERE / "metrics.jsonl").write_text('{"nimg": 4}\n')
    assert "already exists, with other settings" in problem(*SHORT, "model.ngf=3")


@pytest.mark.parametrize(
    "files",
    [
        ["tensorboard/events.out.tfevents.1", "grids/grid-1.png", "log.txt"],
        ["config.yaml", "log.txt"],
        ["overrides.yaml", "grids/holiday.png"],
    ],
)
def test_a_folder_of_another_program_is_left_alone(files: list[str]) -> None:
    for name in files:
        (HERE / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_text("lr: 3\n")
    problem(*SHORT)
    assert all((HERE / name).read_text() == "lr: 3\n" for name in files)


def test_own_images_in_a_run_that_never_saved_are_kept() -> None:
    unfinished()
    (HERE / "grids").mkdir(exist_ok=True)
    (HERE / "grids/holiday.png").write_text("mine")
    assert "already exists, with other settings" in problem(*SHORT, "model.ngf=3")


def test_one_damaged_line_costs_only_itself() -> None:
    train(*SHORT)
    lines = (HERE / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    damaged = b'{"nimg": 3, "loss/a\xff": 2}\n'
    (HERE / "metrics.jsonl").write_bytes(b"".join([lines[0], damaged, *lines[1:]]))
    RunDirectory(HERE).truncate_metrics(4)
    assert (HERE / "metrics.jsonl").read_bytes() == b"".join(lines)


def test_records_that_cannot_be_read_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    train(*SHORT)
    before = (HERE / "metrics.jsonl").read_bytes()
    monkeypatch.setattr("gantrain.io.plain_files.MAX_LINES_BYTES", 10)
    with pytest.raises(ConfigError, match=r"metrics.jsonl cannot be read \(.*MiB\)"):
        RunDirectory(HERE).truncate_metrics(4)
    assert (HERE / "metrics.jsonl").read_bytes() == before


def test_next_commands_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    train(*SHORT, "name=a b")
    said = capsys.readouterr().out
    assert "gantrain 'resume=runs/a b' train.kimg=0.008\n" in said
    assert "gantrain translate 'run=runs/a b' input=DIR output=translated\n" in said
    assert "gantrain data=folder data.root=DIR " in said


def test_a_failed_start_leaves_its_name_free() -> None:
    weights = ["evaluation.every_kimg=0.002", "evaluation.extractor=random"]
    wrong = [*SHORT, "data.train_images=8", "data.test_images=8", *weights]
    said = problem(*wrong, "evaluation.metrics=[inception_score]")
    assert "no classifier" in said and not list(HERE.glob("*/*.pt"))
    train(*SHORT)
    assert result()["nimg"] == 4


HOLDS = """
import os, sys, time
from pathlib import Path
from gantrain.io import locks
assert locks.acquire(Path(sys.argv[1])) is None
if os.fork() == 0:
    time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.multi
def test_a_killed_process_holds_nothing_and_neither_do_its_workers(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)],
        env=ENVIRONMENT | {"PYTHONPATH": str(Path(locks.__file__).parents[2])},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        assert locks.is_held(path)
        assert str(locks.acquire(path)) == f"process {holder.pid} on {os.uname().nodename}"
        holder.kill()
        holder.wait()
        assert not locks.is_held(path)
        assert locks.acquire(path) is None and locks.acquire(path) is None and locks.is_held(path)
        locks.release_all()
        assert not locks.is_held(path)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)


def test_a_file_system_without_locks_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert locks.acquire(tmp_path / ".lock") is None
    assert not locks.is_held(tmp_path / ".lock")


def test_what_another_process_begins_meanwhile_is_not_touched(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def while_data_are_prepared(*_: object, **__: object) -> None:
        shutil.copytree(done, "runs/new")

    monkeypatch.setattr("gantrain.runs.summary.check_pairs", while_data_are_prepared)
    said = problem(*SHORT, "name=new")
    assert "runs/new already exists" in said or "was just started by another process" in said
    before = {k.name: v for k, v in content(done).items()}
    assert {k.name: v for k, v in content(Path("runs/new")).items()} == before


def test_result_holds_every_number_under_a_flat_name(done: Path) -> None:
    metrics = result()["metrics"]
    last = json.loads((done / "metrics.jsonl").read_text().splitlines()[-1])
    assert last.pop("nimg") == 4
    assert {name: metrics[name] for name in last} == last
    pairs = result()["pairs"]
    assert metrics["pairs/ba/ssim"] == pairs["ba"]["model"]["ssim"]
    mean = (pairs["ab"]["model"]["psnr"] + pairs["ba"]["model"]["psnr"]) / 2
    assert metrics["pairs/psnr"] == pytest.approx(mean)
    assert len(metrics) == len(last) + 9
    assert result()["objective"] == {"name": "pairs/l1", "value": metrics["pairs/l1"]}


def test_numbers_that_are_not_finite_are_left_out() -> None:
    found = objective.metrics({"a": 1, "b": math.nan, "c": None}, {})  # type: ignore[dict-item]
    assert found == {"a": 1.0}
    assert objective.select_objective("b", found) == {"name": "b", "value": None}
    assert objective.select_objective(None, found) == {"name": None, "value": None}
    assert math.isnan(objective.objective_value("b", None) or 0)
    assert objective.objective_value(None, None) is None


def test_train_returns_the_objective(capsys: pytest.CaptureFixture[str]) -> None:
    value = train(*SHORT, "objective=loss/D/a")
    assert value == result()["metrics"]["loss/D/a"] == result()["objective"]["value"]
    assert f"Objective: loss/D/a {value:.6g}\n" in capsys.readouterr().out


def test_an_objective_that_never_comes_ends_the_run_at_once() -> None:
    said = problem(*SHORT, "objective=loss/G/cicle_a", "train.kimg=100")
    assert "Did you mean objective=loss/G/cycle_a?" in said and "grad_norm/D, grad_norm/G" in said
    assert rows(HERE)[-1]["nimg"] == 2
    train(*SHORT, "name=late", "objective=loss/G/cycle_a", "model.adversarial_kimg=0.003")


@pytest.mark.parametrize(
    ("settings", "settled"),
    [
        ([], 1),
        (["model.adversarial_kimg=3"], 3001),
        (["model.lambda_identity=[[0,0],[2,0],[5,1]]"], 5001),
        (["model=stylegan", "data.resolution=32", "train.batch=4"], 64),
    ],
)
def test_what_comes_late_is_waited_for(settings: list[str], settled: int) -> None:
    from gantrain import build
    from gantrain.gans.base import ImageSpec

    single = "model=stylegan" in settings
    small = ["model.channel_base=128", "model.channel_max=8"] if single else []
    config = load_run_config(compose("train", [*settings, *small, "objective=x"]), typed_keys=[])
    channels = {"image": 3} if single else {"a": 3, "b": 3}
    gan = build.make_gan(config, ImageSpec(channels, (32, 32), 0, config.train.batch or 1))
    watch = objective.watch(config, gan, build.make_plan(config, 8), 0)
    watch.scalars(settled - 1, {"y": 1.0})
    with pytest.raises(ConfigError, match=r"reports no such value. It reports y, z\."):
        watch.scalars(settled, {"z": 1.0})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["objective=l1"], "write objective=pairs/l1"),
        (["objective=pairs/l2"], "Those are pairs/l1, pairs/psnr"),
        (["objective=pairs/l1", "evaluation.test_images=0"], "give evaluation.test_images=100"),
        (["objective=pairs/l1", "model=dcgan"], "this model does not translate"),
        (["objective=pairs/l1", "data=folder", "data.root=set"], "add data.test_pairs=true"),
    ],
)
def test_an_objective_that_cannot_be_is_refused_before_anything(
    settings: list[str], said: str
) -> None:
    for folder in ("trainA", "trainB"):
        (Path("set") / folder).mkdir(parents=True)
        for number in range(2):
            (Path("set") / folder / f"{number}.png").touch()
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        check(*settings)
    check(*settings, "objective=loss/G/adversarial")


def test_what_a_killed_save_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    gantrain(tmp_path, *TINY, "name=r", "train.kimg=0.002")
    run = tmp_path / "runs" / "r"
    left = [
        run / "snapshots" / ".snapshot-000000.004.pt.7.tmp",
        run / "checkpoints" / ".checkpoint-000000.004.pt.7.tmp",
        run / ".config.yaml.7.tmp",
    ]
    other = run / ".report.html.7.tmp"  # of a command that may be writing at this moment
    for file in [*left, other]:
        file.write_text("x")
    gantrain(tmp_path, "report", "run=runs/r")
    assert all(file.exists() for file in left)  # it may be somebody's save
    gantrain(tmp_path, "resume=runs/r", "train.kimg=0.003")
    assert not any(file.exists() for file in left) and other.exists()
