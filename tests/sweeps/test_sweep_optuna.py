"""sweep=optuna: a search that was stopped goes on as if it had not been."""

import importlib.util
import json
from pathlib import Path

import pytest

from gantrain.sweeps import manifest
from tests.sweeps.conftest import Run, claimed_elsewhere

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None,
    reason="needs the extra: pip install 'gantrain[sweep]'",
)

SEARCH = (
    "sweep=optuna", "name=search", "data=shapes", "train.epochs=null", "train.kimg=1",
    "lr.unit=image", "model.lambda_cycle=interval(1.0,20.0)", "seed=range(0,3)",
    "hydra.sweeper.sampler.n_startup_trials=3", "hydra.sweeper.n_trials=8",
)  # fmt: skip


def test_it_finds_the_smallest_and_says_which(gantrain: Run, trained: list[str]) -> None:
    answer = gantrain(*SEARCH, "hydra.sweeper.n_trials=25")
    assert answer.code == 0, answer.err
    [line] = [line for line in answer.out.splitlines() if line.startswith("Best: ")]
    settings = dict(word.split("=") for word in line.partition("with ")[2].split())
    assert abs(float(settings["model.lambda_cycle"]) - 7) < 1.5 and settings["seed"] == "0"
    assert len(set(trained)) == len(trained) == 25
    assert "no-name" not in answer.err and "Trial" not in answer.err


@pytest.mark.ci
def test_a_stopped_search_goes_on_where_it_was(
    gantrain: Run, trained: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gantrain(*SEARCH)
    undisturbed = list(trained)
    trained.clear()
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    gantrain(*SEARCH, "hydra.sweeper.n_trials=5")  # ends early, as if stopped after five
    assert trained == undisturbed[:5]
    gantrain(*SEARCH)
    assert trained == undisturbed, "the rest, and nothing twice"


@pytest.mark.ci
def test_the_run_that_was_interrupted_is_gone_on_with(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException]
) -> None:
    behaviour[2] = SystemExit(75)
    assert gantrain(*SEARCH).code == 75
    before = len(trained)
    behaviour.clear()
    assert gantrain(*SEARCH).code == 0
    assert trained[before - 1] == trained[before] and len(trained) == 9


@pytest.mark.ci
def test_a_failure_is_a_result_once_others_were_chosen_after_it(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException]
) -> None:
    behaviour[2] = SystemExit(1)
    first = gantrain(*SEARCH)
    failed = [path.stem for path in Path("sweeps/search/failed").iterdir()]
    assert first.code == 1 and failed and "Best: " in first.out
    names = list(trained)
    trained.clear()
    behaviour.clear()
    again = gantrain(*SEARCH)
    final = [name for name in failed if names.index(name) < 7]
    assert again.out.count("it is not repeated") == len(final)
    assert set(trained) == set(failed) - set(final)


def test_a_failure_of_an_earlier_start_stops_nothing(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException]
) -> None:
    one = (*SEARCH, "seed=choice(1)", "stop_on_failure=true")
    behaviour[1] = SystemExit(1)
    answer = gantrain(*one, "hydra.sweeper.n_trials=1")
    assert answer.code == 1 and "Stopped at the first failure" in answer.out
    behaviour.clear()
    assert gantrain(*one, "hydra.sweeper.n_trials=3").code == 0
    name = json.loads(Path("sweeps/search/sweep.json").read_text())["jobs"][0]["name"]
    Path(f"sweeps/search/{name}/result.json").unlink()
    # As if it had failed before the later ones were chosen: it is final
    manifest.record_failure(Path("sweeps/search"), name, "exit code 1", "a fault")
    answer = gantrain(*one, "hydra.sweeper.n_trials=4")
    assert "it is not repeated" in answer.out and "3 done, 1 failed" in answer.out
    assert "Stopped at the first failure" not in answer.out
    behaviour[1] = SystemExit(75)
    answer = gantrain(*one, "hydra.sweeper.n_trials=5")
    assert answer.code == 75 and "Stopped at the first failure" not in answer.out


def test_a_search_without_a_single_result_says_so(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException]
) -> None:
    behaviour.update({seed: SystemExit(1) for seed in range(4)})
    answer = gantrain(*SEARCH, "hydra.sweeper.n_trials=2")
    assert answer.code == 1 and "2 failed" in answer.out and "Traceback" not in answer.err
    behaviour.clear()
    trained.clear()
    # Nothing was learnt from them: they are tried again.
    assert gantrain(*SEARCH, "hydra.sweeper.n_trials=2").code == 0 and len(trained) == 2


def test_the_largest_on_request(gantrain: Run) -> None:
    answer = gantrain(*SEARCH, "hydra.sweeper.direction=maximize")
    jobs = json.loads(Path("sweeps/search/sweep.json").read_text())["jobs"]
    results = [Path("sweeps/search", job["name"], "result.json").read_text() for job in jobs]
    largest = max(json.loads(text)["objective"]["value"] for text in results)
    assert f"pairs/l1 {largest:.4g} with" in answer.out


def trials(study: str = "search") -> list[tuple[str, float | None, tuple[float, int]]]:
    import optuna

    loaded = optuna.load_study(study_name=study, storage="sqlite:///study.db")
    return [
        (t.state.name, t.value, (t.params["model.lambda_cycle"], t.params["seed"]))
        for t in loaded.trials
    ]


STORED = (*SEARCH, "hydra.sweeper.n_trials=2", "hydra.sweeper.storage=sqlite:///study.db")


def test_each_start_adds_new_trials_to_a_storage(gantrain: Run, trained: list[str]) -> None:
    for count in (2, 4, 6):
        answer = gantrain(*STORED)
        assert answer.code == 0, answer.err
        assert len(set(trained)) == len(trained) == count
        assert len({params for _, _, params in trials()}) == len(trials()) == count
    assert "Study search: 4 earlier trials." in answer.out
    assert all(state == "COMPLETE" for state, *_ in trials())
    # Another sweep in the same study: its folder has no runs yet, the study has trials.
    other = gantrain(*STORED, "name=other", "hydra.sweeper.study_name=search")
    assert other.code == 0 and len({params for *_, params in trials()}) == 8


def test_an_interrupted_trial_of_a_storage_is_tried_again_first(
    gantrain: Run, trained: list[str], behaviour: dict[int, BaseException]
) -> None:
    behaviour.update({seed: SystemExit(75) for seed in range(4)})
    assert gantrain(*STORED).code == 75
    assert [state for state, *_ in trials()] == ["RUNNING"]
    [interrupted] = trained
    behaviour.clear()
    assert gantrain(*STORED).code == 0
    assert trained[1] == interrupted and len(trained) == 3
    states = [state for state, *_ in trials()]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"] and trials()[0][2] == trials()[1][2]


def test_a_trial_that_was_done_when_the_search_was_killed_is_entered(
    gantrain: Run, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", killed)
        assert gantrain(*STORED).code == 75
    assert trials()[0][0] == "RUNNING" and len(trained) == 1
    assert gantrain(*STORED).code == 0
    assert trials()[0][:2][0] == "COMPLETE" and trials()[0][1] is not None
    assert len(trained) == 3 == len(trials())


def test_the_running_trial_of_another_sweep_in_the_study_is_left_alone(
    gantrain: Run, behaviour: dict[int, BaseException]
) -> None:
    few = (*STORED, "seed=choice(1)", "model.lambda_cycle=choice(5)", "hydra.sweeper.n_trials=1")
    other = (*few, "name=it's another", "hydra.sweeper.study_name=search")
    assert gantrain(*other).code == 0
    behaviour[1] = SystemExit(75)
    assert gantrain(*few).code == 75  # as if it were running
    behaviour.clear()
    assert gantrain(*other).code == 0  # its own run of these settings is done
    states = [state for state, *_ in trials()]
    assert states == ["COMPLETE", "RUNNING", "COMPLETE"]
    assert gantrain(*few).code == 0
    states = [state for state, *_ in trials()]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_storage_that_cannot_be_used(gantrain: Run) -> None:
    answer = gantrain(*STORED, "hydra.sweeper.storage=nosuch:///x")
    assert answer.code == 2 and "hydra.sweeper.storage=nosuch:///x cannot be used" in answer.err


def test_one_search_at_a_time(gantrain: Run, trained: list[str]) -> None:
    assert gantrain(*SEARCH, "hydra.sweeper.n_trials=1").code == 0
    with claimed_elsewhere(Path("sweeps/search"), "search"):
        answer = gantrain(*SEARCH)
    assert answer.code == 2 and "another process runs this search" in answer.err
    assert len(trained) == 1 and not Path("sweeps/search/failed").exists()
    assert gantrain(*SEARCH, "hydra.sweeper.n_trials=2").code == 0
