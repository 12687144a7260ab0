"""launcher=slurm and slurm_detached on stand-ins for Slurm's commands (tests/slurm: the real)."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gantrain.cli import entry
from gantrain.sweeps import manifest
from gantrain.sweeps.job import FirstFailure
from gantrain.sweeps.launchers import slurm, slurm_queue
from tests.helpers import slurm_stand_in
from tests.helpers.command_line import TINY

pytest.importorskip("submitit", reason="needs the extra: pip install 'gantrain[slurm]'")
if not Path("/proc/self/stat").exists():
    pytest.skip("the stand-in for squeue reads /proc", allow_module_level=True)

pytestmark = pytest.mark.multi
RUN = [
    *TINY,
    "train.kimg=0.02",
    "runtime=cpu",
    "runtime.workers=0",
    "checkpoint.every_kimg=0.01",
    "name=s",
]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def gantrain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """The launcher in this process; the jobs are processes of their own."""
    for name, value in slurm_stand_in.install(tmp_path / "bin").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # cli sets it: have it put back afterwards
    monkeypatch.setattr(slurm, "QUEUE_SECONDS", 0.3)
    monkeypatch.setattr(slurm, "RESULT_SECONDS", 0.1)
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gantrain", *argv])
        code = entry.main()
        out, err = capfd.readouterr()
        return code, out + err

    return run


def at_first_look(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Do something once the launcher waits for its jobs."""
    pending = [action]

    def sleep(seconds: float) -> None:
        if pending:
            pending.pop()()
        time.sleep(seconds)

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic, strftime=time.strftime)
    monkeypatch.setattr(slurm, "time", clock)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.ci
def test_submitted_left_taken_up_again(gantrain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Path("sweeps/s")
    argv = [*RUN, "train.kimg=0.3", "seed=0,1"]
    code, said = gantrain(*argv, "launcher=slurm_detached", "hydra.launcher.array_parallelism=1")
    assert code == 0 and "gantrain compare sweeps/s" in said, said
    jobs = json.loads((sweep / "jobs.json").read_text())
    assert [jobs[name]["job_id"] for name in ("seed-0", "seed-1")] == ["1_0", "1_1"]
    [script] = sweep.glob(".submitit/*/*_submission.sh")
    options = set(script.read_text().splitlines())
    for option in ("array=0-1%1", "requeue", "signal=USR2@120", "time=240", "gpus-per-node=1"):
        assert f"#SBATCH --{option}" in options

    code, said = gantrain(*argv, "launcher=slurm_detached")
    assert code == 0 and "seed-0: is already Slurm job 1_0 (running)" in said
    assert json.loads((sweep / "jobs.json").read_text()) == jobs

    wait_for(lambda: bool(list(sweep.glob("seed-1/checkpoints/*.pt"))))
    process = int((sweep / "seed-1/.lock").read_text().split()[0])
    os.kill(process, signal.SIGSTOP)  # it must not finish before it is killed
    at_first_look(monkeypatch, lambda: os.kill(process, signal.SIGKILL))
    code, said = gantrain(*argv, "launcher=slurm")  # waits for what was submitted before
    assert code == 1 and "1 done, 1 failed" in said, said
    failure = json.loads((sweep / "failed/seed-1.json").read_text())
    assert (
        failure["kind"] == "lost" and "job 1_1 left the queue without a result" in failure["text"]
    )

    code, said = gantrain(*argv, "launcher=slurm")
    assert code == 0 and "[1/2] seed-0: already done" in said and "submitted as job 2;" in said
    output = Path("bin/2.out").read_text()
    assert "Resuming at" in output
    assert "2 done" in gantrain("compare", "sweeps/s")[1]


@pytest.mark.ci
def test_a_job_tells_why_it_failed(gantrain: Command) -> None:
    argv = [*RUN, "optimizer.lr=1e30", "launcher=slurm"]
    code, said = gantrain(*argv, "hydra.launcher.name=mine")
    assert code == 1 and "failed (exit code 1): ALARM at " in said, said
    script = next(Path("sweeps/s").glob(".submitit/*/*_submission.sh")).read_text()
    assert "--job-name=mine" in script and "--array" not in script


def test_what_slurm_refuses_is_said(gantrain: Command) -> None:
    code, said = gantrain(*RUN, "launcher=slurm", "hydra.launcher.partition=nowhere")
    assert code == 2 and "Slurm rejects the jobs: sbatch: error: invalid partition" in said


def test_without_slurm_nothing_is_begun(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\nexit 1\n")
    code, said = gantrain(*RUN, "seed=0,1", "launcher=slurm")
    assert code == 2 and "launcher=local runs the sweep on this machine" in said
    assert not Path("sweeps").exists() and slurm_queue.states() is None


def test_ctrl_c_leaves_the_jobs_alone(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def tell_the_job(number: signal.Signals) -> None:
        [job] = (tmp_path / "bin").glob("*.job")
        os.killpg(int(job.read_text()), number)

    def interrupt() -> None:
        tell_the_job(signal.SIGSTOP)  # on a slow machine it could end before the second command
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_first_look(patch, interrupt)
        code, said = gantrain(*RUN, "seed=0", "launcher=slurm")
    assert code == 75 and "scancel 1" in said
    with monkeypatch.context() as patch:
        at_first_look(patch, lambda: tell_the_job(signal.SIGCONT))
        code, said = gantrain(*RUN, "seed=0", "launcher=slurm")
    assert code == 0 and "is already Slurm job 1" in said


def test_the_first_failure_cancels_the_others(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    canceled: list[str] = []

    def cancel(jobs: Sequence[str]) -> None:
        canceled.extend(jobs)
        for name in jobs:
            os.killpg(int((tmp_path / f"bin/{name}.job").read_text()), signal.SIGKILL)

    monkeypatch.setattr(slurm_queue, "cancel", cancel)
    argv = [*RUN, "train.kimg=1000", "optimizer.lr=1e30,1e-4", "launcher=slurm"]
    code, said = gantrain(*argv, "stop_on_failure=true")
    assert code == 1 and "Stopped at the first failure" in said
    assert len(canceled) == 1
    code, said = gantrain(*RUN, "seed=0,1", "launcher=slurm_detached", "stop_on_failure=true")
    assert code == 2 and "does not wait for its runs and cannot stop them" in said


def test_only_jobs_of_this_folder_are_canceled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record of c came with a sweep of somebody else's, that of d is none."""
    records = {
        name: {"job_id": number, "folder": str(folder / number), "submitted": "now"}
        for name, number, folder in (
            ("a", "1", tmp_path / ".submitit"),
            ("b", "2", tmp_path / ".submitit"),
            ("c", "3", tmp_path / "../other"),
        )
    }
    (tmp_path / "jobs.json").write_text(json.dumps(records | {"d": {"job_id": "4"}}))
    assert list(manifest.slurm_jobs(tmp_path)) == ["a", "b", "c"]
    canceled: list[str] = []
    monkeypatch.setattr(slurm_queue, "cancel", canceled.extend)
    monkeypatch.setattr(slurm_queue, "states", lambda: {"2": "RUNNING", "3": "RUNNING"})
    launcher = slurm.Slurm(submitit_folder=str(tmp_path / ".submitit/%j"))
    jobs = [manifest.Job(name, ()) for name in "abc"]
    sweep = SimpleNamespace(
        folder=tmp_path, stop_on_failure=True, grid=True, jobs=lambda: tuple(jobs)
    )
    launcher.sweep = cast(Any, sweep)
    with pytest.raises(FirstFailure):
        launcher._check_queue(jobs, dict.fromkeys(jobs, 1), {})
    assert canceled == ["2"]
    assert f"Not canceled, since their output is not in {tmp_path}/.submitit: 3." in (
        capsys.readouterr().out
    )


def test_more_jobs_than_an_array_takes(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scontrol = tmp_path / "bin/scontrol"
    scontrol.write_text("#!/bin/sh\necho 'MaxArraySize            = (null)'\n")
    scontrol.chmod(0o755)
    assert slurm_queue.max_array_size() is None
    scontrol.write_text("#!/bin/sh\necho 'MaxArraySize            = 3'\n")
    assert slurm_queue.max_array_size() == 3
    submitted = []
    monkeypatch.setattr(
        slurm.Slurm, "_submit", lambda self, jobs, parts: submitted.append((len(jobs), parts))
    )
    argv = [*RUN, "launcher=slurm_detached"]
    code, said = gantrain(*argv, "seed=range(0,7)")
    assert code == 0, said
    assert submitted == [(3, 3), (3, 3), (1, 3)] and "in 3 parts" in said
    submitted.clear()
    assert gantrain(*argv, "seed=0,1,2", "name=few")[0] == 0
    assert submitted == [(3, 1)]


@pytest.mark.parametrize(("limit", "share"), [(7, 2), (2, 1)])
def test_each_part_gets_its_share_of_the_jobs_at_a_time(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: int, share: int
) -> None:
    # Takes every array, and runs none
    (tmp_path / "bin/sbatch").write_text('#!/bin/sh\necho "Submitted batch job $$"\n')
    asked: list[int] = []
    monkeypatch.setattr(slurm_queue, "max_array_size", lambda: asked.append(2) or 2)
    argv = [*RUN, "launcher=slurm_detached", f"hydra.launcher.array_parallelism={limit}"]
    code, said = gantrain(*argv, "seed=range(0,6)")
    assert code == 0, said
    scripts = list(Path("sweeps/s").glob(".submitit/*/*_submission.sh"))
    options = [line for file in scripts for line in file.read_text().splitlines()]
    assert options.count(f"#SBATCH --array=0-1%{share}") == 3
    assert ("3 in all: more than hydra.launcher.array_parallelism=2" in said) == (limit == 2)
    ids = [job["job_id"] for job in json.loads(Path("sweeps/s/jobs.json").read_text()).values()]
    monkeypatch.setattr(slurm_queue, "states", lambda: dict.fromkeys(ids, "PENDING"))
    code, said = gantrain(*argv, "seed=range(0,6)")
    assert code == 0 and said.count("(pending)") == 6
    assert asked == [2]  # not when nothing is to be submitted
