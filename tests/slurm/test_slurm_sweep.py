"""A sweep whose jobs Slurm and a person interrupt ends with the weights of an undisturbed one."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.helpers.command_line import TINY, Running, differences, final_state, finish, rows, start
from tests.slurm.lab import Lab

pytest.importorskip("submitit", reason="launcher=slurm needs pip install 'gantrain[slurm]'")

pytestmark = [pytest.mark.slow, pytest.mark.multi]

SETTINGS = [
    *TINY,
    "runtime=cpu",
    "train.batch=2",
    "train.kimg=6",  # a minute: Slurm looks at time limits every half minute
    "tracking.every_kimg=0.02",
    "checkpoint.every_kimg=0.1",
    "checkpoint.keep=99",
]
SLURM = [
    "launcher=slurm",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=1",
    "hydra.launcher.timeout_min=60",
    "hydra.launcher.signal_delay_s=120",
]
SEEDS = ["-m", "seed=0,1,2", "name=seeds"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that nothing happens to, one run after the other in one process."""
    folder = tmp_path_factory.mktemp("straight")
    finish(start(folder, *SEEDS, *SETTINGS), timeout=600)
    return folder / "sweeps" / "seeds"


def assert_same(run: Path, reference: Path) -> None:
    """The last checkpoints are bitwise equal, and so are all reports."""
    ours, theirs = final_state(run), final_state(reference)
    for state in (ours, theirs):
        state.pop("note")  # settings and versions
    assert differences(ours, theirs) == []
    assert rows(run) == rows(reference)


def in_slurm(lab: Lab, folder: Path, *overrides: str) -> Running:
    return start(folder, *overrides, environment=lab.environment)


def numbers(lab: Lab, sweep: Path, count: int, launcher: Running) -> dict[str, str]:
    """Run name -> job number, once all have been submitted."""
    file = sweep / "jobs.json"
    lab.until(lambda: file.exists() and len(json.loads(file.read_text())) == count, launcher)
    return {name: job["job_id"] for name, job in json.loads(file.read_text()).items()}


def under_way(lab: Lab, job: str, run: Path) -> None:
    lab.wait(job, lambda: len(list(run.glob("checkpoints/*.pt"))) >= 2)


def test_preempted_out_of_time_and_killed(lab: Lab, straight: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "seeds"
    launcher = in_slurm(lab, tmp_path, *SEEDS, *SETTINGS, *SLURM)
    jobs = numbers(lab, sweep, 3, launcher)
    for name, job in jobs.items():
        under_way(lab, job, sweep / name)
    # Two fit on a node of two GPUs: the third is alone on the other one.
    where = {name: lab.job(job)["BatchHost"] for name, job in jobs.items()}
    hosts = list(where.values())
    preempted = next(name for name, host in where.items() if hosts.count(host) == 1)
    limited, killed = (name for name in jobs if name != preempted)

    lab.submit(
        *("--partition=high", f"--nodelist={where[preempted]}", "--exclusive"),
        *("--output=high.txt", "--wrap", "sleep 1"),
        cwd=tmp_path,
    )
    lab.run("scontrol", "update", f"JobId={jobs[limited]}", "TimeLimit=2")
    os.kill(int((sweep / killed / ".lock").read_text().split()[0]), signal.SIGKILL)
    for name, changes in ((preempted, []), (limited, ["TimeLimit=60"])):
        lab.requeued(jobs[name])
        lab.release(jobs[name], *changes)

    output = finish(launcher, code=1, timeout=400)  # one has failed
    assert len(re.findall(r"seed-\d: done$", output, flags=re.MULTILINE)) == 2, output
    assert lab.job(jobs[killed])["JobState"] == "FAILED"
    assert not (sweep / killed / "result.json").exists()
    for name in (preempted, limited):
        assert lab.job(jobs[name])["Restarts"] == "1"
        assert_same(sweep / name, straight / name)

    again = finish(in_slurm(lab, tmp_path, *SEEDS, *SETTINGS, *SLURM), timeout=400)
    assert len(re.findall("already done", again)) == 2, again
    assert numbers(lab, sweep, 3, launcher)[killed] != jobs[killed]
    assert_same(sweep / killed, straight / killed)


RANKS = {
    "devices": ["runtime.devices=2"],
    "srun": ["hydra.launcher.tasks_per_node=2", "hydra.launcher.gpus_per_node=2"],
}


@pytest.fixture(scope="module")
def straight_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two ranks that nothing happens to."""
    folder = tmp_path_factory.mktemp("straight-two")
    command = ["name=run", "seed=4", *SETTINGS, "runtime.devices=2"]
    finish(start(folder, *command), timeout=600)
    return folder / "runs" / "run"


@pytest.mark.parametrize("way", RANKS)
def test_two_ranks_out_of_time(lab: Lab, straight_two: Path, tmp_path: Path, way: str) -> None:
    command = ["-m", "seed=4", "name=two", *SETTINGS, *SLURM, *RANKS[way]]
    sweep = tmp_path / "sweeps" / "two"
    launcher = in_slurm(lab, tmp_path, *command)
    [(name, job)] = numbers(lab, sweep, 1, launcher).items()
    under_way(lab, job, sweep / name)
    lab.run("scontrol", "update", f"JobId={job}", "TimeLimit=2")
    lab.requeued(job)
    lab.release(job, "TimeLimit=60")
    finish(launcher, timeout=400)
    assert lab.job(job)["Restarts"] == "1"
    assert_same(sweep / name, straight_two)


def test_detached_returns_and_compare_shows_the_jobs(lab: Lab, tmp_path: Path) -> None:
    command = ["-m", "seed=0,1", "name=pair", *SETTINGS, *SLURM, "launcher=slurm_detached"]
    command += ["train.kimg=0.004"]
    launcher = in_slurm(lab, tmp_path, *command)
    finish(launcher)
    for job in numbers(lab, tmp_path / "sweeps" / "pair", 2, launcher).values():
        lab.finish(job)
    compared = finish(in_slurm(lab, tmp_path, "compare", "sweeps/pair"))
    assert compared.count("done") >= 2, compared
    assert "already done" in finish(in_slurm(lab, tmp_path, *command))
