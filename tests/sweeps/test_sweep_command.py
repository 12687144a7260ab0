"""gantrain -m: where runs go, what repeating the command does, what failures do."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gantrain.config import paths
from gantrain.errors import RunError
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import manifest, plan
from tests.sweeps.conftest import Run

BASE = ("data=shapes", "train.epochs=null", "train.kimg=1", "lr.unit=image")
SWEEPS = sorted((paths.config_dir() / "sweep").glob("*.yaml"))
SEEDS = ("-m", *BASE, "seed=0,1,2", "name=seeds")


def test_each_run_has_a_folder_named_by_its_settings(gantrain: Run, trained: list[str]) -> None:
    answer = gantrain("-m", *BASE, "seed=0,1", "model.lambda_cycle=5,10", "name=first", "out=all")
    assert answer.code == 0, answer.err
    names = [f"seed-{s}_lambda_cycle-{c}" for s in (0, 1) for c in (5, 10)]
    assert trained == names
    assert os.listdir() == ["all"]
    assert set(names) < set(os.listdir("all/first"))
    content = json.loads(Path("all/first/sweep.json").read_text())
    assert content["jobs"][1] == {
        "name": "seed-0_lambda_cycle-10",
        "overrides": ["seed=0", "model.lambda_cycle=10"],
    }
    assert content["common"] == list(BASE) and content["command"][0] == "-m"
    config = yaml.safe_load(Path("all/first/seed-1_lambda_cycle-5/config.yaml").read_text())
    assert (config["seed"], config["model"]["lambda_cycle"]) == (1, 5)


def test_points_and_ramps(gantrain: Run, trained: list[str]) -> None:
    """OmegaConf merges no list into a mapping: Hydra's own loader refused the first one."""
    common = (*BASE, "model=r3gan", "name=gammas", "out=all")
    answer = gantrain("-m", *common, "model.gamma=[[0,2],[9,1]],{base:3},1")
    assert answer.code == 0, answer.err
    gammas = [
        yaml.safe_load(Path("all/gammas", name, "config.yaml").read_text())["model"]["gamma"]
        for name in trained
    ]
    assert gammas == [
        [[0, 2], [9, 1]],
        {"base": 3, "final": 0.2, "kimg": None, "shape": "cosine"},
        1,
    ]


@pytest.mark.ci
def test_without_a_name_the_same_command_finds_the_same_sweep(
    gantrain: Run, trained: list[str]
) -> None:
    gantrain("-m", *BASE, "seed=0,1")
    gantrain("-m", *BASE[::-1], "seed=0,1", "runtime=cpu")  # another order, another machine
    [folder] = Path("sweeps").iterdir()
    assert folder.name.startswith("cyclegan-shapes-")
    assert trained == ["seed-0", "seed-1"]
    gantrain("-m", *BASE, "seed=0,1", "model.ngf=8")
    assert len(list(Path("sweeps").iterdir())) == 2


def test_repeating_runs_what_is_not_done(gantrain: Run, trained: list[str]) -> None:
    gantrain(*SEEDS)
    shutil.rmtree("sweeps/seeds/seed-0")  # never begun
    Path("sweeps/seeds/seed-1/result.json").unlink()  # stopped on the way
    trained.clear()
    answer = gantrain(*SEEDS)
    assert trained == ["seed-0", "seed-1"] and answer.code == 0
    assert "[3/3] seed-2: already done, pairs/l1 11" in answer.out


def test_more_runs_and_a_larger_budget_join_the_sweep(gantrain: Run, trained: list[str]) -> None:
    gantrain(*SEEDS)
    trained.clear()
    gantrain("-m", *BASE, "seed=2,3", "name=seeds")
    assert trained == ["seed-3"]
    jobs = json.loads(Path("sweeps/seeds/sweep.json").read_text())["jobs"]
    assert [job["name"] for job in jobs] == ["seed-0", "seed-1", "seed-2", "seed-3"]
    trained.clear()
    gantrain(*SEEDS, "train.kimg=2")
    assert trained == ["seed-0", "seed-1", "seed-2"]


def test_the_first_failure_ends_the_sweep_if_asked(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException]
) -> None:
    behaviour[1] = KeyError("a fault")
    answer = gantrain(*SEEDS, "stop_on_failure=true")
    assert trained == ["seed-0", "seed-1"] and answer.code == 1
    assert "Stopped at the first failure" in answer.out and "1 waiting" in answer.out
    behaviour.clear()
    trained.clear()
    answer = gantrain(*SEEDS)  # it is no setting of the runs: they are not those of another sweep
    assert trained == ["seed-1", "seed-2"] and answer.code == 0


@pytest.mark.parametrize(
    ("value", "typed", "count"),
    [("true", [], 1), ("true", ["stop_on_failure=false"], 3), ("false", [], 3), ("maybe", [], 0)],
)
def test_a_yaml_may_ask_for_it(
    gantrain: Run,
    trained: list[str],
    behaviour: dict[int, BaseException],
    value: str,
    typed: list[str],
    count: int,
) -> None:
    Path("my/experiment").mkdir(parents=True)
    text = f"# @package _global_\nstop_on_failure: {value}\n"
    Path("my/experiment/mine.yaml").write_text(text)
    behaviour[0] = KeyError("a fault")
    answer = gantrain("--config-dir", "my", "experiment=mine", *SEEDS, *typed)
    assert len(trained) == count
    assert ("Stopped at the first failure" in answer.out) == (count == 1)
    assert count or (answer.code == 2 and "stop_on_failure=maybe" in answer.err)


def test_a_failed_run_leaves_the_others_alone(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException]
) -> None:
    behaviour[0], behaviour[1] = KeyError("a fault"), SystemExit(1)
    answer = gantrain(*SEEDS)
    assert answer.code == 1 and trained == ["seed-0", "seed-1", "seed-2"]
    assert "1 done, 2 failed" in answer.out
    failure = json.loads(Path("sweeps/seeds/failed/seed-0.json").read_text())
    assert failure["kind"] == "KeyError" and "a fault" in failure["text"]
    assert json.loads(Path("sweeps/seeds/failed/seed-1.json").read_text())["kind"] == "exit code 1"

    behaviour.clear()
    trained.clear()
    assert gantrain(*SEEDS).code == 0
    assert trained == ["seed-0", "seed-1"] and os.listdir("sweeps/seeds/failed") == []


@pytest.mark.parametrize("ending", [SystemExit(75), KeyboardInterrupt()])
def test_a_stopped_run_stops_the_sweep(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException], ending: Any
) -> None:
    behaviour[1] = ending
    answer = gantrain(*SEEDS)
    assert answer.code == 75 and trained == ["seed-0", "seed-1"]
    assert "1 done, 1 stopped, 1 waiting" in answer.out
    behaviour.clear()
    assert gantrain(*SEEDS).code == 0
    assert trained == ["seed-0", "seed-1", "seed-1", "seed-2"]


@pytest.mark.ci
def test_the_order_of_the_settings_does_not_matter(gantrain: Run, trained: list[str]) -> None:
    gantrain("-m", *BASE, "name=a", "seed=0,1", "model.ngf=2,4")
    assert gantrain("-m", *BASE, "name=a", "model.ngf=2,4", "seed=0,1").code == 0
    assert len(trained) == 4


def test_the_same_settings_twice_are_one_run(gantrain: Run, trained: list[str]) -> None:
    assert gantrain("-m", *BASE, "seed=0,0").code == 0 and trained == ["seed-0"]


@pytest.mark.ci
def test_a_sweep_of_a_yaml_needs_no_m(gantrain: Run, trained: list[str]) -> None:
    assert gantrain("sweep=cyclegan_lambda", "name=l", *BASE).code == 0
    assert len(trained) == 6
    trained.clear()
    assert gantrain("sweep=cyclegan_lambda", "name=m", *BASE, "seed=5").code == 0
    assert trained == [f"lambda_cycle-{value}" for value in (5, 10, 20)]


@pytest.mark.parametrize("file", SWEEPS, ids=lambda f: f.stem)
@pytest.mark.ci
def test_every_example_can_be_begun(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException], file: Path
) -> None:
    behaviour[0] = SystemExit(75)
    more = ["model.lambda_cycle=interval(1,9)"] if file.stem == "optuna" else []
    answer = gantrain(f"sweep={file.stem}", "data=shapes", *more)
    assert answer.code == 75, answer.err
    assert len(trained) == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["name=a-${seed}"], "Give a single name; each run gets its own folder"),
        (["name=a,b"], "in a sweep, name= and out= are those of the sweep"),
        (["resume=runs/a"], "remove resume"),
        (["model.lambda_cycle=interval(1,2)"], "list some, such as 1,2,3, or add sweep=optuna"),
        (["model.lambda_cycle=1,-1"], "model.lambda_cycle=-1 is out of range"),
        (["--cfg", "job"], "--cfg shows the config of a single run"),
        (["hydra.launcher.jobs=2"], "add launcher=local"),
        (["launcher=local", "hydra.launcher.job=2"], "Did you mean hydra.launcher.jobs?"),
        (["launcher=lokal"], "Did you mean launcher=local?"),
        (["sweep=optuna", "hydra.sweeper.n_trial=3"], "Did you mean hydra.sweeper.n_trials?"),
        (["sweep=optuna", "model.ngf=int(interval(4,0))"], "model.ngf=0 is out of range"),
        (["sweep=optuna", "model.norm=choice(none,bach)"], "Did you mean model.norm=batch?"),
        (["sweep=optuna", "model=dcgan", "model.z_dim=1,2"], "objective=pairs/l1"),
        (["launcher=slurm_detached", "sweep=optuna"], "use launcher=slurm"),
        (["sweep=cyclegan_lambda,cyclegan_loss"], "sweep= takes one preset"),
        (["sweep=[cyclegan_lambda,cyclegan_loss]"], "sweep= takes one preset"),
        (["sweep=cyclegan_lambda", "sweep=cyclegan_loss"], "sweep= takes one preset"),
        (["launcher=local,slurm"], "launcher= takes one launcher"),
        (["hydra.sweep.dir=mine"], "makes its own folders: write out=... and name=..."),
        (["hydra.sweep.subdir=mine"], "write out=... and name=..."),
        (["+hydra.run.dir=mine"], "write out=... and name=..."),
        (["hydra.job.chdir=true"], "write out=... and name=..."),
        (["name=../x"], "name=../x must be a plain folder name"),
        (["name=a b/c:d"], "must be a plain folder name"),
        (["name=.."], "must be a plain folder name"),
        ([f"name={'n' * 300}"], "is too long for a folder: 300 bytes"),
        ([f"name={'ä' * 128}"], "is too long for a folder: 256 bytes"),
        (["out="], "out= is empty"),
        (["hydra/launcher=submitit_local"], "write launcher=local, launcher=slurm"),
        (["hydra/launcher=submitit_slurm"], "write launcher=local, launcher=slurm"),
    ],
)
def test_mistakes_of_sweeps(
    gantrain: Run, monkeypatch: pytest.MonkeyPatch, argv: list[str], said: str
) -> None:
    monkeypatch.setattr("gantrain.sweeps.launchers.slurm_queue.states", dict)
    answer = gantrain("-m", *BASE, "seed=0,1", *argv)
    assert answer.code == 2 and said in answer.err
    assert os.listdir() == [], "nothing is begun or written"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["hydra.run.dir=rd"], "write out=... and name=..."),
        (["generate", "run=a", "hydra.run.dir=rd"], "makes its own folders: write out=...."),
        (["generate", "-m", "seeds=1,2", "hydra/launcher=submitit_local"], "write launcher=local"),
        ([f"name={'n' * 256}"], "too long for a folder"),
    ],
)
def test_without_a_sweep_too(gantrain: Run, argv: list[str], said: str) -> None:
    answer = gantrain(*argv, *([] if argv[0] == "generate" else BASE))
    assert answer.code == 2 and said in answer.err
    assert os.listdir() == []


def test_a_launcher_of_a_yaml_is_refused_too(gantrain: Run) -> None:
    Path("my/launcher").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /hydra/launcher: submitit_local\n"
    Path("my/launcher/mine.yaml").write_text(text)
    answer = gantrain("--config-dir", "my", "launcher=mine", "seed=0,1", *BASE)
    assert answer.code == 2 and "is a launcher whose runs neither end" in answer.err


@pytest.mark.parametrize("key", ["model.channel_base", "+model.channel_base"])
@pytest.mark.parametrize(
    "swept",
    ["experiment=stylegan_paper256,stylegan_cycle", "experiment=stylegan_cycle,stylegan_cifar"],
)
def test_a_key_that_only_swept_choices_have(gantrain: Run, swept: str, key: str) -> None:
    answer = gantrain("-m", swept, f"{key}=256", "data=shapes")
    group = swept.partition("=")[0]
    said = f"in a sweep over {group}: write 'model.channel_base=choice(256)'."
    assert answer.code == 2 and said in answer.err and "problems" not in answer.err


def test_two_starts_plan_one_after_the_other(
    gantrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start writes its plan while this one checks its runs."""
    check = plan._job_problems

    def checked_meanwhile(*arguments: Any) -> tuple[str, ...]:
        Path("sweeps/seeds").mkdir(parents=True, exist_ok=True)
        jobs = (manifest.Job("seed-7", ("seed=7",)),)
        manifest.write(Path("sweeps/seeds"), manifest.Manifest((), BASE, jobs))
        return check(*arguments)

    monkeypatch.setattr(plan, "_job_problems", checked_meanwhile)
    assert gantrain(*SEEDS).code == 75  # seed-7 is waiting
    content = manifest.read(Path("sweeps/seeds"))
    assert content and [job.name for job in content.jobs] == [
        "seed-7",
        "seed-0",
        "seed-1",
        "seed-2",
    ]


def test_the_record_of_a_failure_says_why(
    gantrain: Run, behaviour: dict[int, BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour[0] = behaviour[1] = SystemExit(1)
    log = "10 kimg\nALARM at 0 kimg, nonfinite: The gradient was not finite.\nState saved.\n"
    gantrain(*SEEDS)
    Path("sweeps/seeds/seed-0/log.txt").write_text(log)
    answer = gantrain(*SEEDS)
    texts = [
        json.loads(Path(f"sweeps/seeds/failed/seed-{i}.json").read_text())["text"] for i in (0, 1)
    ]
    assert texts[0] == "ALARM at 0 kimg, nonfinite: The gradient was not finite."
    assert "before sweeps/seeds/seed-1/log.txt was written" in texts[1]
    assert f"failed (exit code 1): {texts[0]}" in answer.out


@pytest.mark.parametrize("out", ["ro", "ro/deeper"])
def test_a_folder_that_cannot_be_written(
    gantrain: Run, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    answer = gantrain(*SEEDS, f"out={out}")
    said = f"Error: {out}/seeds cannot be written (Read-only file system): give another out="
    assert answer.code == 2 and said in answer.err


def test_a_disk_that_fills_up(
    gantrain: Run, behaviour: dict[int, BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour[1] = RunError("Writing failed. Everything saved in sweeps/seeds/seed-1 is intact.")
    answer = gantrain(*SEEDS)
    assert answer.code == 1 and "2 done, 1 failed" in answer.out
    record = json.loads(Path("sweeps/seeds/failed/seed-1.json").read_text())
    assert record["kind"] == "RunError" and "seed-1 is intact" in record["text"]

    def full(path: Path, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write_json", full)  # nothing can be written from the start
        answer = gantrain(*SEEDS, "name=seeds2")
    assert answer.code == 2 and "sweeps/seeds2 cannot be written (No space left" in answer.err
    monkeypatch.setattr(manifest, "record_failure", full)  # not even the record
    answer = gantrain(*SEEDS, "name=seeds3")
    assert answer.code == 1 and "Traceback" not in answer.err
    assert answer.err.endswith(
        "Error: sweeps/seeds3 cannot be written (No space left on device). What its runs have "
        "saved is intact: make room, then repeat the command.\n"
    )
    assert Path("sweeps/seeds3/seed-0/result.json").exists()


def test_all_jobs_are_checked_as_they_will_be_run(gantrain: Run, trained: list[str]) -> None:
    Path("sweeps/seeds/seed-1").mkdir(parents=True)
    Path("sweeps/seeds/seed-1/notes.txt").touch()
    answer = gantrain(*SEEDS)
    assert answer.code == 2 and "seed-1 already exists, but is not a run" in answer.err
    assert trained == []


@pytest.mark.ci
def test_runs_of_a_sweep_stay_comparable(gantrain: Run, trained: list[str]) -> None:
    gantrain(*SEEDS)
    trained.clear()
    answer = gantrain(*SEEDS, "optimizer.lr=0.1")
    assert answer.code == 2 and "optimizer.lr: (not set) -> 0.1" in answer.err
    assert gantrain(*SEEDS, "tracking.every_kimg=3").code == 0
    assert trained == []


def test_a_run_is_not_taken_for_a_sweep(gantrain: Run) -> None:
    gantrain(*BASE, "name=a")
    assert "runs/a is a run, not a sweep" in gantrain("-m", *BASE, "out=runs", "name=a").err


@pytest.mark.ci
def test_a_run_of_another_process_is_left_alone(gantrain: Run, trained: list[str]) -> None:
    gantrain(*SEEDS)
    Path("sweeps/seeds/seed-1/result.json").unlink()
    trained.clear()
    directory = RunDirectory(Path("sweeps/seeds/seed-1"))
    directory.lock()
    answer = gantrain(*SEEDS)
    directory.unlock()
    assert answer.code == 75 and "is being trained by another process" in answer.out
    assert trained == [] and not Path("sweeps/seeds/failed").exists()


def test_ranks_do_not_sweep(gantrain: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "here")
    assert "run it without torchrun" in gantrain(*SEEDS).err


def test_missing_extras_are_named(gantrain: Run) -> None:
    for kind, package in (("launcher", "submitit_gone"), ("sweeper", "optuna_gone")):
        group = {"launcher": "launcher", "sweeper": "sweep"}[kind]
        Path(f"my/{group}").mkdir(parents=True)
        text = f"# @package _global_\ndefaults:\n  - override /hydra/{kind}: {package}\n"
        Path(f"my/{group}/mine.yaml").write_text(text)
        extra = {"launcher": "slurm", "sweeper": "sweep"}[kind]
        answer = gantrain("--config-dir", "my", f"{group}=mine", *BASE)
        assert answer.code == 2 and f"pip install 'gantrain[{extra}]'" in answer.err


def test_a_sweep_of_generate_is_hydras_own(
    gantrain: Run, monkeypatch: pytest.MonkeyPatch, trained: list[str]
) -> None:
    answer = gantrain("generate", "-m", "run=gone", "seeds=1,2")
    assert answer.code == 2 and "run=gone: there is no such run" in answer.err
