"""The command line from outside: answers, exit codes, speed, and that nothing is left behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from gantrain.cli import entry
from gantrain.cli.arguments import parse
from gantrain.config import train as train_settings
from gantrain.config.train import RunConfig
from gantrain.data.shapes import UnpairedShapes
from gantrain.errors import ConfigError
from gantrain.runs import resume
from tests.helpers.command_line import TINY

IMPORTABLE = {"PYTHONPATH": str(Path(entry.__file__).parents[2])}
TORCH_LESS = """
import sys
from gantrain.cli.entry import main
code = main()
print("torch" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


@dataclass
class Answer:
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def trained() -> list[RunConfig]:
    """The configs that reached the train command."""
    return []


@pytest.fixture
def gantrain(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    trained: list[RunConfig],
) -> Run:
    """Runs the command line in this process, in an empty folder, with a train command that only
    notes its config."""

    def train(cfg: RunConfig, data: object) -> float:
        trained.append(cfg)
        if cfg.name == "bug":
            raise KeyError("a fault of ours")
        if cfg.name == "refused":
            raise ConfigError("the data are missing", "and so are the weights")
        if cfg.name == "stopped":
            raise SystemExit(75)
        return 0.5

    def run(*argv: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["gantrain", *argv])
        code = entry.main()
        text = capfd.readouterr()
        return Answer(code, text.out, text.err)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # cli sets it: have it put back afterwards
    monkeypatch.setitem(sys.modules, "gantrain.commands.train", SimpleNamespace(main=train))  # type: ignore[arg-type]
    return run


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """Grows by one with every call of `owner.name`."""
    calls: list[str] = []
    original = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_a_start_composes_checks_and_looks_at_its_data_once(
    gantrain: Run, trained: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [
        counted(monkeypatch, ConfigLoaderImpl, "load_configuration"),
        counted(monkeypatch, train_settings, "load"),
        counted(monkeypatch, resume, "find_resumable"),
        counted(monkeypatch, UnpairedShapes, "__init__"),
    ]
    assert gantrain("seed=3").code == 0
    assert len(trained) == 1 and [len(found) for found in calls] == [1, 1, 1, 1]


def test_a_start_hands_its_data_set_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a folder of a million pictures takes its time."""
    made = counted(monkeypatch, UnpairedShapes, "__init__")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gantrain", *TINY, "runtime=cpu", "train.kimg=0.002"])
    assert entry.main() == 0 and len(made) == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["model=cyclgan"], "model=cyclgan is not a choice. Did you mean model=cyclegan? Choices"),
        (["modle=cyclegan"], "modle is not a key. Did you mean model=cyclegan?"),
        (["data.batch_sizee=4"], "Did you mean train.batch=4?"),
        (["+train.batchh=3"], "Did you mean train.batch=3?"),
        (["optimizer.lr=abc"], "optimizer.lr=abc is not allowed: optimizer.lr must be a number"),
        (["train.batch=0"], "must be an integer of at least 1"),
        (["optimizer=adan"], "Did you mean optimizer=adam?"),
        (
            ["tracking=null"],
            "tracking=null is not a choice. Choices: default, mlflow, none, wandb.",
        ),
        (["optimizer.maximize=true"], "write +optimizer.maximize=true"),
        (["+seed=3"], "write seed=3 without the +"),
        (["~train.kim"], "there is no train.kim to remove"),
        (["data=unaligned"], "data=unaligned is not a choice. Did you mean data=folder?"),
        (["data=unpaired"], "Did you mean data=folder?"),
        (["data=aligned"], "Did you mean data=paired?"),
        (
            ["model=cyclegan", "train.kimg=1"],
            "are two budgets: add train.epochs=null lr.unit=image (or",
        ),
        (["model=cyclegan", "train.kimg=1", "lr.schedule=constant"], "add train.epochs=null (or"),
        (["data.root=x"], "data.root is a key of data=folder: add data=folder data.root=x."),
        (["dataroot=x"], "add data=folder data.root=x."),
        (["load_size=286"], "data.load_size is a key of data=folder: add data=folder"),
        (["data.load_sizes=286"], "data.load_size is a key of data=folder: add data=folder"),
        (["--preprocess", "none"], "add data=folder data.preprocess=none."),
        (["z_dim=8"], "add model=dcgan model.z_dim=8."),
        (["model=stylegan", "load_size=30"], "but this model trains on single images: remove it."),
        (["model.ngf", "64"], "Write model.ngf=64, without spaces"),
        (["--seed", "3"], "written without dashes: seed=3"),
        (["--multirn"], "Did you mean --multirun?"),
        (["--cfg", "jb"], "Choices: job, hydra, all."),
        (["--cfg"], "--cfg needs a value"),
        (["=3"], "no key before the ="),
        (["trian"], "trian is not a command. Did you mean train?"),
        (["seed=0,1"], "add -m"),
        (["seed=[1,2"], "a bracket is not closed"),
        (["seed='x"], "a quote is not closed"),
        (["+data.unknown=my run (1)"], "'+data.unknown=\"my run (1)\"'"),
        (["name=${nowhere}"], "'nowhere' not found"),
        (["resume=runs/none"], "resume=runs/none is not a run directory"),
        (["--config-dir", "none"], "not found"),
        (["-m", "seed=0,-1"], "seed=-1 is out of range"),
        (["generate", "run=x", "runtime=cpu"], "runtime is a config group of gantrain train"),
        (["-m", "model=stylegan,dcgan", "model.z_dim=8"], "write 'model.z_dim=choice(8)'"),
        (["-m", "model=stylegan,dcgan", "model.z_dimm=8"], "Did you mean model.z_dim=8?"),
        (["-m", "optimizer=glob(*)", "sed=1"], "sed is not a key. Did you mean seed=1?"),
        (["-m", "model=cyclegan,foo"], "model=foo is not a choice"),
    ],
)
def test_mistakes(gantrain: Run, trained: list[RunConfig], argv: list[str], said: str) -> None:
    answer = gantrain(*argv)
    assert said in answer.err
    assert "Traceback" not in answer.err and answer.out == ""
    assert answer.code == 2
    assert trained == [] and os.listdir() == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["data=folder", "foo=1"], "foo is not a key. List all keys with --help."),
        (["data=folder", "data.roots=x"], "data.roots is not a key. Did you mean data.root=x?"),
        (
            ["data=shapes", "photos"],
            "data.root is a key of data=folder, not of data=shapes: remove it, or write "
            "data=folder data.root=photos instead of data=shapes.",
        ),
    ],
)
def test_the_group_of_a_command_is_no_mistake(gantrain: Run, argv: list[str], said: str) -> None:
    assert gantrain("prepare", *argv).err == f"Error: {said}\n"


def test_several_mistakes_are_told_at_once(gantrain: Run) -> None:
    answer = gantrain("model=cyclgan", "modell.ngf=3", "seed=[1")
    assert answer.code == 2 and "3 problems" in answer.err


def test_bare_command_is_the_demonstration_and_says_so(
    gantrain: Run, trained: list[RunConfig]
) -> None:
    answer = gantrain("seed=3")
    assert answer.code == 0 and answer.err.count("experiment=quickstart") == 1
    assert trained[0].train.epochs is None and trained[0].seed == 3
    assert os.listdir() == []


def test_resume_auto_begins_the_same_run_as_without_it(
    gantrain: Run, trained: list[RunConfig]
) -> None:
    gantrain("name=a", "resume=auto")
    assert trained[0].train.epochs is None and trained[0].data["resolution"] == 32


@pytest.mark.parametrize(
    "argv",
    [["train", "model=cyclegan"], ["data=shapes"], ["experiment=null"], ["+data@data=shapes"]],
)
def test_what_to_train_was_said(gantrain: Run, trained: list[RunConfig], argv: list[str]) -> None:
    assert "quickstart" not in gantrain(*argv).err
    assert all(cfg.train.epochs == 200 for cfg in trained)


def test_null_switches_an_experiment_off(gantrain: Run, trained: list[RunConfig]) -> None:
    gantrain("experiment=quickstart", "debug=smoke", "experiment=null", "debug=null")
    assert trained[0].train.epochs == 200
    gantrain("experiment=null", "experiment=quickstart")
    assert trained[1].train.epochs is None


def test_resume_brings_the_saved_overrides_back(gantrain: Run, trained: list[RunConfig]) -> None:
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/overrides.yaml").write_text("- experiment=quickstart\n- seed=5\n- model.ngf=8\n")
    Path("runs/a/config.yaml").write_text("model: {ngf: 8}\n")
    assert gantrain("resume=runs/a", "model.ngf=4", "resume_force=true").code == 0
    assert (trained[0].seed, trained[0].model["ngf"], trained[0].resume) == (5, 4, "runs/a")


def test_a_fault_of_ours_keeps_its_traceback(gantrain: Run) -> None:
    with pytest.raises(KeyError, match="a fault of ours"):
        gantrain("name=bug")


def test_a_config_error_of_the_command_has_none(gantrain: Run) -> None:
    answer = gantrain("name=refused", "data=shapes")
    assert answer.code == 2
    assert answer.err == "Error: 2 problems\n  - the data are missing\n  - and so are the weights\n"


def test_the_code_of_an_early_stop_passes_through(gantrain: Run) -> None:
    with pytest.raises(SystemExit) as caught:
        gantrain("name=stopped")
    assert caught.value.code == 75


def test_own_configs_beside_ours(gantrain: Run, trained: list[RunConfig]) -> None:
    Path("my/experiment").mkdir(parents=True)
    Path("my/experiment/mine.yaml").write_text("# @package _global_\nseed: 9\n")
    assert gantrain("--config-dir", "my", "experiment=mine").code == 0
    assert trained[0].seed == 9
    assert "mine" in gantrain("--config-dir=my", "--help").out
    assert "Did you mean experiment=mine?" in gantrain("--config-dir", "my", "experiment=mien").err
    Path("my/experiment/mine.yaml").write_text("# @package _global_\ntrain:\n  bach: 9\n")
    assert "Did you mean train.batch=9?" in gantrain("--config-dir", "my", "experiment=mine").err


def test_hydras_flags(
    gantrain: Run, trained: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "lambda_cycle: 10.0" in gantrain("--cfg", "job", "data=shapes").out
    assert (
        gantrain("data=shapes", "-c", "job", "-p", "model", "model.ngf=8").out.count("ngf: 8") == 1
    )
    monkeypatch.setenv("COMP_LINE", "gantrain train model.lambda_c")
    assert gantrain("-sc", "query=bash").out == "model.lambda_cycle=\n"
    assert trained == [] and os.listdir() == []


def test_help_and_version(gantrain: Run) -> None:
    text = gantrain("--help").out
    for part in (
        "Train a GAN",
        "Generate images",
        "cyclegan_reference",
        "gantrain resume=",
        "75 stopped",
    ):
        assert part in text
    assert "train.batch=1" in gantrain("train", "-h").out
    assert gantrain("--version").out.startswith("gantrain 0.")


def test_flags_and_overrides_may_be_mixed() -> None:
    found = parse(["train", "a=1", "-m", "b=2", "--config-dir", "x", "~c", "--info"])
    assert found.command == "train" and found.overrides == ["a=1", "b=2", "~c"]
    assert found.sweep and found.config_dir == "x" and found.value("--info") == "all"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--help"], 0),
        (["modle=cyclegan"], 2),
        (["train.batch=0"], 2),
        (["-m", "seed=0,-1"], 2),
        (["compare", "gone"], 2),
        (["--cfg", "job"], 0),
        (["--info"], 0),
    ],
)
def test_answers_without_torch(tmp_path: Path, argv: list[str], code: int) -> None:
    """Importing it takes longer than all the rest."""
    done = subprocess.run(
        [sys.executable, "-c", TORCH_LESS, *argv],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | IMPORTABLE,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    assert os.listdir(tmp_path) == []


def test_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gantrain", "train.batch=0"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | IMPORTABLE
    )
    assert done.returncode == 2 and "train.batch=0" in done.stderr
