"""gantrain compare: tables of sweeps and of runs."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from gantrain.runs import status
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import manifest
from tests.sweeps.conftest import Run

BASE = ("data=shapes", "train.epochs=null", "train.kimg=1", "lr.unit=image")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that asks for a sweep leaves it for the others."""
    return tmp_path_factory.mktemp("made") / "sweeps"


@pytest.fixture
def sweep(gantrain: Run, behaviour: dict[int, BaseException], made: Path) -> Path:
    """seed 0 done, 1 failed, 2 stopped after 500 images, 3 not begun."""
    behaviour[1], behaviour[2] = SystemExit(1), SystemExit(75)
    if made.exists():
        shutil.copytree(made, "sweeps")
        return Path("sweeps/s")
    gantrain("-m", *BASE, "seed=0,1,2,3", "name=s")
    stopped = Path("sweeps/s/seed-2")
    (stopped / "metrics.jsonl").write_text(
        '{"nimg": 250, "loss/G/cycle_a": 3.0}\n{"nimg": 500, "loss/G/cycle_a": 2.5}\n{"nimg": 7'
    )
    shutil.copytree("sweeps", made)
    return Path("sweeps/s")


def cells(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if line.startswith(("run", "s"))]


def test_a_half_finished_sweep(gantrain: Run, sweep: Path) -> None:
    answer = gantrain("compare", str(sweep))
    assert answer.code == 0, answer.err
    head, *rows = cells(answer.out)
    assert head[:4] == ["run", "seed", "status", "kimg"] and head[4] == "pairs/l1"
    assert [row[:4] for row in rows] == [
        ["seed-0", "0", "done", "1"],
        ["seed-1", "1", "failed", "0"],
        ["seed-2", "2", "stopped", "0.5"],
        ["seed-3", "3", "waiting", "0"],
    ]
    assert rows[0][4] == "9" and len(rows[3]) == 4
    assert "1 done, 1 stopped, 1 failed, 1 waiting" in answer.out


def test_the_file_holds_all_numbers(gantrain: Run, sweep: Path) -> None:
    gantrain("compare", str(sweep), "metrics=loss/G/cycle_a")
    rows = list(csv.DictReader((sweep / "table.csv").open()))
    assert rows[0]["pairs/l1"] == "9.0" and rows[0]["loss/G/cycle_a"] == "0.5"
    assert rows[2]["loss/G/cycle_a"] == "2.5" and rows[2]["kimg"] == "0.5"
    assert rows[3]["status"] == "waiting" and rows[3]["loss/G/cycle_a"] == ""


def test_chosen_numbers_sorted(gantrain: Run, sweep: Path) -> None:
    ask = ("compare", str(sweep), "metrics=[loss/G/cycle_a]")
    up = cells(gantrain(*ask, "sort=loss/G/cycle_a", "csv=t.csv").out)
    down = cells(gantrain(*ask, "sort=-loss/G/cycle_a").out)
    assert [row[0] for row in up[1:3]] == ["seed-0", "seed-2"]
    assert [row[0] for row in down[1:3]] == ["seed-2", "seed-0"]
    assert up[0] == ["run", "seed", "status", "kimg", "loss/G/cycle_a"]
    assert Path("t.csv").read_text().splitlines()[0] == "run,seed,status,kimg,loss/G/cycle_a"


def test_a_run_in_progress(gantrain: Run, sweep: Path) -> None:
    directory = RunDirectory(sweep / "seed-2")
    directory.lock()
    try:
        rows = cells(gantrain("compare", str(sweep)).out)
        assert rows[3][:4] == ["seed-2", "2", "running", "0.5"]
    finally:
        directory.unlock()
    assert "running" not in gantrain("compare", str(sweep)).out


def test_progress_between_two_reports(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/checkpoint-000012.500.pt").touch()
    (tmp_path / "config.yaml").write_text("objective: null\n")
    assert status.of_run(tmp_path).kimg == 12.5


def test_a_result_of_a_smaller_budget_is_not_the_end(gantrain: Run, sweep: Path) -> None:
    config = sweep / "seed-0/config.yaml"
    config.write_text(config.read_text().replace("total: 1000", "total: 2000"))
    assert status.of_run(sweep / "seed-0").status == status.STOPPED


def test_what_slurm_knows(gantrain: Run, sweep: Path) -> None:
    jobs = {f"seed-{i}": {"job_id": f"7_{i}", "folder": "", "submitted": ""} for i in range(4)}
    (sweep / "jobs.json").write_text(json.dumps(jobs))
    queue = {"7_0": "COMPLETING", "7_1": "PENDING", "7_2": "PENDING", "7_3": "RUNNING"}
    found = [manifest.job_state(sweep, name, queue).status for name in jobs]
    assert found == ["done", "waiting", "waiting", "running"]
    assert manifest.job_state(sweep, "seed-1", {}).status == "failed"


def test_runs_are_compared_by_what_differs(gantrain: Run, sweep: Path) -> None:
    gantrain(*BASE, "name=a", "model.ngf=8", "runtime=cpu")
    gantrain(*BASE, "name=b")
    head, *rows = [
        line.split()
        for line in gantrain("compare", "runs/a", "runs/b").out.splitlines()
        if line.startswith("run")
    ]
    assert head[:4] == ["run", "ngf", "status", "kimg"]
    assert [row[:2] for row in rows] == [["runs/a", "8"], ["runs/b", "64"]]
    out = gantrain("compare", "runs/b", *map(str, sweep.iterdir())).out
    assert "sweeps/s/seed-0" in out and "sweeps/s/failed" not in out
    out = gantrain("compare", "runs/b", str(sweep)).out
    assert "sweeps/s/seed-3" in out
    sweep.rename("runs/s")  # a sweep among runs
    out = gantrain("compare", "runs").out
    assert "runs/a" in out and "runs/s/seed-3" in out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "such as gantrain compare sweeps/NAME. Sweeps here: sweeps/s."),
        (["sweeps/t"], "sweeps/t is neither a sweep nor a run: it does not exist."),
        (["."], ". is neither a sweep nor a run: it has neither sweep.json nor config.yaml."),
        (["sweeps/s", "metrics=pairs/l2"], "Did you mean pairs/l1?"),
        (["sweeps/s", "sort=l1"], "sort: no run has l1"),
        (["sweeps/s", "metric=pairs/l1"], "Did you mean metrics=pairs/l1?"),
    ],
)
def test_mistakes_of_compare(gantrain: Run, sweep: Path, argv: list[str], said: str) -> None:
    answer = gantrain("compare", *argv)
    assert answer.code == 2 and said in answer.err


def test_a_damaged_record(gantrain: Run, sweep: Path) -> None:
    (sweep / "sweep.json").write_text('{"jobs": ')
    assert "delete it and repeat the command" in gantrain("compare", str(sweep)).err
    os.remove(sweep / "sweep.json")
    gantrain("-m", *BASE, "seed=0,1,2,3", "name=s")
    assert "seed-0" in gantrain("compare", str(sweep)).out


def test_odd_paths(gantrain: Run, sweep: Path) -> None:
    odd = """a "b", [{c}] 'd' \\ $e"""
    sweep.rename(odd)
    assert "seed-0" in gantrain("compare", odd).out
    trailing = "a\\"
    Path(odd).rename(trailing)
    assert "seed-0" in gantrain("compare", trailing).out


def test_no_two_columns_have_the_same_heading(gantrain: Run) -> None:
    gantrain(*BASE, "name=a")
    gantrain(*BASE, "name=b", "train.kimg=2", "checkpoint.every_kimg=5")
    answer = gantrain("compare", "runs/a", "runs/b")
    [head] = [line.split() for line in answer.out.splitlines() if line.startswith("run ")]
    assert len(set(head)) == len(head)
    assert "train.kimg" in head and "kimg" in head and "every_kimg" in head, answer
