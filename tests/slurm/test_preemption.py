"""Trainings that Slurm interrupts go on by themselves and end as if nothing had happened.

They are started with the files of scripts/, as docs/cluster.md says. In this cluster a node has
two GPUs that are none: everything runs on the CPU.
"""

import re
from pathlib import Path

import pytest

from tests.helpers.command_line import (
    TINY,
    differences,
    final_state,
    finish,
    gantrain,
    rows,
    start,
)
from tests.slurm.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.multi]

SCRIPTS = Path(__file__).parents[2] / "scripts"
EVERY = 100  # images between the checkpoints that nobody asks for
SETTINGS = [
    *TINY,
    "runtime=cpu",
    "name=run",
    "train.batch=2",
    "train.kimg=6",  # a minute: Slurm looks at time limits every half minute
    "tracking.every_kimg=0.02",
    f"checkpoint.every_kimg={EVERY / 1000}",
    "checkpoint.keep=99",
]
SMALL = ["--cpus-per-task=1", "--mem=1G"]  # the files ask for what a GPU's node has
ONE = [*SMALL, str(SCRIPTS / "train.sbatch"), *SETTINGS, "runtime.workers=2"]
TWO = {  # ways to the same two ranks
    "devices": [*SMALL, "--gpus-per-node=2", str(SCRIPTS / "train.sbatch"), "runtime.devices=2"],
    "srun": [
        *(*SMALL, "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1"),
        str(SCRIPTS / "train_nodes.sbatch"),
    ],
    "torchrun": [*SMALL, "--nodes=2", "--gpus-per-node=1", str(SCRIPTS / "torchrun.sbatch")],
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process that nothing happens to."""
    folder = tmp_path_factory.mktemp("straight")
    gantrain(folder, *SETTINGS)
    return folder / "runs" / "run"


@pytest.fixture(scope="module")
def straight_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two ranks that nothing happens to."""
    folder = tmp_path_factory.mktemp("straight-two")
    finish(start(folder, *SETTINGS, "runtime.devices=2"), timeout=400)  # two minutes on some CPUs
    return folder / "runs" / "run"


def assert_same(run: Path, reference: Path) -> None:
    """The last checkpoints are bitwise equal, and so are all reports."""
    ours, theirs = final_state(run), final_state(reference)
    for state in (ours, theirs):
        state.pop("note")  # settings and versions
    assert differences(ours, theirs) == []
    assert rows(run) == rows(reference)


def saved(run: Path) -> list[int]:
    """Images seen at each checkpoint."""
    names = (path.stem.removeprefix("checkpoint-") for path in run.glob("checkpoints/*.pt"))
    return sorted(round(float(name) * 1000) for name in names)


def under_way(lab: Lab, job: str, run: Path) -> None:
    """Wait for the second checkpoint that comes by itself: the first is that of a new run."""
    lab.wait(job, lambda: sum(nimg % EVERY == 0 for nimg in saved(run)) >= 2)


def preempt(lab: Lab, job: str, folder: Path) -> str:
    """A job of the partition `high` that wants the whole node."""
    node = lab.job(job)["BatchHost"]
    return lab.submit(
        *("--partition=high", f"--nodelist={node}", "--exclusive", "--output=high.txt"),
        *("--wrap", "sleep 1"),
        cwd=folder,
    )


def near_the_limit(lab: Lab, job: str) -> None:
    """Less time is left than --signal=USR1@120 of the files: Slurm warns at once."""
    lab.run("scontrol", "update", f"JobId={job}", "TimeLimit=2")


def test_preempted_by_a_partition_of_higher_priority(
    lab: Lab, straight: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "run"
    job = lab.submit(*ONE, cwd=tmp_path)
    under_way(lab, job, run)
    high = preempt(lab, job, tmp_path)
    lab.requeued(job)
    asked = [nimg for nimg in saved(run) if nimg % EVERY]
    assert asked, "nothing was saved at SIGTERM"
    assert rows(run)[-1]["nimg"] > asked[0], "SIGTERM ended it: it did not train on"
    assert lab.finish(high)["JobState"] == "COMPLETED"
    assert int(lab.finish(job)["Restarts"]) >= 1
    assert_same(run, straight)


def test_time_limit(lab: Lab, straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    job = lab.submit(*ONE, cwd=tmp_path)
    under_way(lab, job, run)
    near_the_limit(lab, job)
    lab.requeued(job)
    output = lab.output(job)
    assert "Stopped by SIGUSR1" in output
    assert f"Job {job} is requeued" in output
    lab.release(job, "TimeLimit=60")
    assert int(lab.finish(job)["Restarts"]) == 1
    assert_same(run, straight)


def test_requeued_by_hand(lab: Lab, straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    job = lab.submit(*ONE, cwd=tmp_path)
    under_way(lab, job, run)
    lab.run("scontrol", "requeue", job)
    lab.requeued(job)
    lab.finish(job)
    assert_same(run, straight)


def test_cancelled_and_submitted_again(lab: Lab, straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    job = lab.submit(*ONE, cwd=tmp_path)
    under_way(lab, job, run)
    lab.run("scancel", job)
    again = lab.submit(*ONE, cwd=tmp_path)
    assert lab.finish(again)["Restarts"] == "0"
    assert lab.job(job)["JobState"] == "CANCELLED"
    assert_same(run, straight)


def test_without_a_name_the_job_names_the_run(lab: Lab, tmp_path: Path) -> None:
    unnamed = [text for text in ONE if text != "name=run"]
    job = lab.submit(*unnamed, "train.kimg=0.004", cwd=tmp_path)
    lab.finish(job)
    assert (tmp_path / "runs" / f"slurm-{job}" / "result.json").exists()


@pytest.mark.parametrize("way", TWO)
def test_two_ranks_and_the_time_limit(
    lab: Lab, straight_two: Path, tmp_path: Path, way: str
) -> None:
    run = tmp_path / "runs" / "run"
    job = lab.submit(*TWO[way], *SETTINGS, cwd=tmp_path)
    under_way(lab, job, run)
    near_the_limit(lab, job)
    lab.requeued(job)
    output = lab.output(job)
    assert len(re.findall("Stopped by ", output)) == 1, output  # rank 0 speaks for all
    assert f"Job {job} is requeued" in output
    lab.release(job, "TimeLimit=60")
    assert int(lab.finish(job)["Restarts"]) == 1
    assert_same(run, straight_two)


@pytest.mark.parametrize("way", TWO)
def test_two_ranks_preempted(lab: Lab, straight_two: Path, tmp_path: Path, way: str) -> None:
    run = tmp_path / "runs" / "run"
    job = lab.submit(*TWO[way], *SETTINGS, cwd=tmp_path)
    under_way(lab, job, run)
    preempt(lab, job, tmp_path)
    lab.requeued(job)
    asked = [nimg for nimg in saved(run) if nimg % EVERY]
    assert asked and rows(run)[-1]["nimg"] > asked[0]
    lab.finish(job)
    assert_same(run, straight_two)
