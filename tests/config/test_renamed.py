"""Old names of keys: on the command line, of runs that are resumed, and in YAML."""

from pathlib import Path

import pytest

from gantrain.config.renamed import admit, rename
from gantrain.io.plain_files import load_yaml
from tests.helpers.command_line import TINY, gantrain

SENTENCE = "tracking.tensorboard is called tracking.to since 0.2; the old name is read until 0.4."


def test_old_keys_are_admitted_with_a_sentence() -> None:
    said = list[str]()
    typed = ["seed=1", "tracking.tensorboard=true,false", "++tracking.tensorboard=true"]
    admitted = ["seed=1", "++tracking.tensorboard=true,false", "++tracking.tensorboard=true"]
    assert admit(typed, said.append) == admitted
    assert said == [SENTENCE] * 2


def test_other_overrides_are_left_alone() -> None:
    typed = ["~tracking.tensorboard", "tracking=none", "model.tensorboard=1", "-m"]
    assert admit(typed, pytest.fail) == typed


@pytest.mark.parametrize(
    ("old", "to", "expected"),
    [
        (False, ["tensorboard"], []),
        (False, ["wandb", "tensorboard"], ["wandb"]),
        (True, ["wandb"], ["tensorboard", "wandb"]),
        (True, ["tensorboard"], ["tensorboard"]),
    ],
)
def test_the_other_trackers_stay(old: bool, to: list[str], expected: list[str]) -> None:
    plain = {"tracking": {"tensorboard": old, "to": to}}
    assert rename(plain) == [SENTENCE]
    assert plain == {"tracking": {"to": expected}} and rename(plain) == []


def test_a_run_and_its_resumption(tmp_path: Path) -> None:
    command = [text for text in TINY if not text.startswith("tracking.to")]
    command += ["name=run", "train.kimg=0.002", "tracking.tensorboard=false"]
    said = gantrain(tmp_path, *command)
    assert said.count(SENTENCE) == 1
    run = tmp_path / "runs/run"
    assert load_yaml(run / "config.yaml")["tracking"]["to"] == []
    assert not (run / "tensorboard").exists()
    assert SENTENCE not in gantrain(tmp_path, "resume=runs/run", "train.kimg=0.004")


def test_a_yaml_of_a_user(tmp_path: Path) -> None:
    command = [text for text in TINY if not text.startswith("tracking.to")]
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/old.yaml").write_text(
        "# @package _global_\ntracking:\n  tensorboard: false\n"
    )
    command = ["--config-dir", "mine", *command, "experiment=old", "name=run", "train.kimg=0.002"]
    assert gantrain(tmp_path, *command).count(SENTENCE) == 1
    assert not (tmp_path / "runs/run/tensorboard").exists()
