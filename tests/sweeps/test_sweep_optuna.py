"""sweep=optuna: a search that was stopped goes on as if it had not been."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.sweeps.conftest import Run

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
