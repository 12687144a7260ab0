"""resume=DIR puts the saved overrides before the typed ones."""

from pathlib import Path

import pytest

from gantrain.cli.saved_overrides import prepend_saved
from gantrain.errors import ConfigError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    saved = ["experiment=quickstart", "name=first", "resume=x", "init_from=y", "resume_force=true"]
    (folder / "overrides.yaml").write_text("".join(f"- {text}\n" for text in saved))
    return "runs/first"


def test_saved_overrides_come_first_and_one_off_keys_stay_behind(run: str) -> None:
    typed = [f"resume={run}", "train.kimg=20"]
    assert prepend_saved(typed) == ["experiment=quickstart", "name=first", *typed]
    assert prepend_saved([f"resume='{run}'"])[:2] == ["experiment=quickstart", "name=first"]


@pytest.mark.parametrize("typed", [[], ["seed=1"], ["resume=auto", "name=a"], ["resume=null"]])
def test_nothing_to_continue(typed: list[str]) -> None:
    assert prepend_saved(typed) == typed


def test_a_missing_run_names_those_that_exist(run: str) -> None:
    with pytest.raises(ConfigError, match=r"resume=runs/frist .* Runs in runs: first\."):
        prepend_saved(["resume=runs/frist"])
    with pytest.raises(ConfigError, match=r"Runs in runs: first\."):
        prepend_saved(["resume=elsewhere/x"])


def test_damaged_overrides(run: str) -> None:
    Path(run, "overrides.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match=r"overrides\.yaml is damaged"):
        prepend_saved([f"resume={run}"])
