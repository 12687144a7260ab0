"""resume=DIR puts the saved overrides before the typed ones."""

import json
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


@pytest.mark.parametrize(
    "text",
    [
        "hydra.run.dir=x", "+hydra.callbacks.x={_target_: os.system}", "hydra/job_logging=default",
        "experiment=../x", "seed=1,2", "name=${oc.env:HOME}", "own=1", "train.batch=[8", "-m",
    ],
)  # fmt: skip
def test_anything_but_a_setting_is_refused_by_name(run: str, text: str) -> None:
    Path(run, "overrides.yaml").write_text(json.dumps(["seed=1", text]))
    with pytest.raises(ConfigError) as error:
        prepend_saved([f"resume={run}"])
    [problem] = error.value.problems
    assert problem.startswith(f"{run}/overrides.yaml: {text!r} is not taken over: ")


@pytest.mark.parametrize(
    "text",
    [
        "seed=1", "+data.root='a b'", "++model.ngf=4", "~tracking.tensorboard", "experiment=null",
        "model.lambda_identity=[[0.06,0.5],[0.18,0.0]]", "train.batch=${train.microbatch}",
        "data.root='/mnt/Fotos äöü'", "optimizer.betas=[0.5,0.9]", "data={root: x}",
        "debug=[smoke]",
    ],
)  # fmt: skip
def test_settings_of_all_forms_are_taken_over(run: str, text: str) -> None:
    Path(run, "overrides.yaml").write_text(json.dumps([text]))
    assert prepend_saved([f"resume={run}"]) == [text, f"resume={run}"]


def test_own_groups_need_the_typed_config_dir(run: str, tmp_path: Path) -> None:
    (tmp_path / "mine" / "recipe").mkdir(parents=True)
    (tmp_path / "mine" / "recipe" / "small.yaml").write_text("# @package _global_\nseed: 1\n")
    Path(run, "overrides.yaml").write_text(json.dumps(["+recipe=small"]))
    with pytest.raises(ConfigError, match="recipe is no setting"):
        prepend_saved([f"resume={run}"])
    assert prepend_saved([f"resume={run}"], str(tmp_path / "mine"))[0] == "+recipe=small"


def test_a_moved_run_stays_where_it_is(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    saved = ["out=/cluster/runs", "name=old", "data.cache_dir=/x"]
    Path(run, "overrides.yaml").write_text(json.dumps(saved))
    assert prepend_saved([f"resume={run}"]) == ["out=runs", "name=first", f"resume={run}"]
    said = capsys.readouterr().err
    assert "says out=/cluster/runs: the run stays where it is" in said
    assert "says data.cache_dir=/x, a place outside" in said


@pytest.mark.parametrize("typed", [".", "../first", "../../runs/first/"])
def test_from_inside_the_run(run: str, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    Path(run, "overrides.yaml").write_text(json.dumps(["out=runs", "name=first"]))
    monkeypatch.chdir(run)
    out, name, _ = prepend_saved([f"resume={typed}"])
    assert Path(out.partition("=")[2].strip('"')).resolve() == Path("..").resolve()
    assert name == "name=first"


def test_damaged_overrides(run: str) -> None:
    Path(run, "overrides.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match=r"overrides\.yaml is damaged"):
        prepend_saved([f"resume={run}"])


FOREIGN = {"model": {"_target_": "my_gan.MyGAN", "z_dim": 4}, "train": {"batch": 2, "kimg": None}}


def foreign(run: str, **more: object) -> list[str]:
    """What a run with configs of its own is resumed with, without them."""
    Path(run, "overrides.yaml").write_text(json.dumps(["model=my_gan", "seed=3"]))
    Path(run, "config.yaml").write_text(
        json.dumps({**FOREIGN, "out": "runs", "name": "first", **more})
    )
    return prepend_saved([f"resume={run}", "train.kimg=9"])


def test_a_choice_that_is_not_gantrains_is_replaced_by_what_it_has_set(run: str) -> None:
    data = {"root": "ph (1)", "sizes": [[1, 2.5], ["007", True]]}
    found = foreign(
        run, seed=3, data=data, resume="x", init_from="y", derived={"a": 1}, hydra={"b": 1}
    )
    assert found[:3] == ["~model", "~data", "~optimizer"]
    assert set(found[3:-2]) == {
        '++data.root="ph (1)"', '++data.sizes=[[1,2.5],["007",true]]',
        "++model._target_=my_gan.MyGAN", "++model.z_dim=4", "++seed=3", "++train.batch=2",
        "out=runs", "name=first",
    }, "train.kimg=null is the default"  # fmt: skip
    assert found[-2:] == [f"resume={run}", "train.kimg=9"]


@pytest.mark.parametrize(
    "more",
    [
        {"objective": "${oc.env:HOME}"}, {"train": {"a b": 1}}, {"train": {"x=1 hydra.run.dir": 2}},
        {"data": {"root": "${hydra:job.name}"}}, {"train": {"batch\n": 1}},
    ],
)  # fmt: skip
def test_recorded_values_are_plain_or_refused(run: str, more: dict) -> None:
    with pytest.raises(ConfigError, match=r"runs/first/config.yaml: .* is not taken over"):
        foreign(run, **more)
