"""Requeueing, with a stand-in for scontrol and one for submitit's handler."""

import os
import signal
from pathlib import Path

import pytest

from gantrain.engine.distributed import slurm
from gantrain.engine.signals import Action, Signals, handle_signals

RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Job 12 of a cluster whose scontrol writes its arguments to a file and returns $CODE."""
    for name in [*RANK, *os.environ]:
        if name in RANK or name.startswith("SLURM_"):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    fake = tmp_path / "scontrol"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho "$SAY" >&2\nexit ${{CODE:-0}}\n'
    )
    fake.chmod(0o755)


def asked(folder: Path) -> str:
    file = folder / "asked"
    return file.read_text() if file.exists() else ""


def test_scontrol_requeues_the_job(tmp_path: Path) -> None:
    assert slurm.in_slurm_job()
    said = slurm.requeue(Signals())
    assert asked(tmp_path) == "requeue 12\n"
    assert said == "Job 12 is requeued and will resume by itself in the same run directory."


def test_a_task_of_an_array_is_named_by_array_and_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "11")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    slurm.requeue(Signals())
    assert asked(tmp_path) == "requeue 11_3\n"


def test_a_refusal_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODE", "1")
    monkeypatch.setenv("SAY", "Requested operation is presently disabled for job 12")
    said = slurm.requeue(Signals())
    assert "could not be requeued" in said and "presently disabled" in said
    assert "Submit the same command again" in said


def test_without_scontrol_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    said = slurm.requeue(Signals())
    assert "could not be requeued" in said and "scontrol" in said


def test_outside_of_slurm_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    assert not slurm.in_slurm_job() and slurm.slurm_job_id() == ""
    assert "nothing was requeued" in slurm.requeue(Signals())
    assert asked(tmp_path) == ""


def test_only_rank_0_requeues_and_the_others_let_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "localhost")
    waited: list[float] = []
    monkeypatch.setattr(slurm.time, "sleep", waited.append)
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert slurm.requeue(Signals()) == "Rank 0 requeues the job."
    assert waited == [slurm.RANK_ZERO_SECONDS] and asked(tmp_path) == ""
    monkeypatch.setenv("SLURM_PROCID", "0")
    slurm.requeue(Signals())
    assert asked(tmp_path) == "requeue 12\n"


@pytest.mark.parametrize("came", [signal.SIGUSR2, signal.SIGUSR1])
def test_an_earlier_handler_requeues_instead(came: signal.Signals, tmp_path: Path) -> None:
    """submitit listens to one of the two signals only, and leaves by itself."""
    called: list[int] = []

    def submitits(number: int, frame: object) -> None:
        called.append(number)
        raise SystemExit(-1)

    before = signal.signal(signal.SIGUSR2, submitits)
    try:
        with pytest.raises(SystemExit), handle_signals() as signals:
            os.kill(os.getpid(), came)
            assert signals.pop_request() is Action.REQUEUE
            assert called == []  # not before the state is saved
            slurm.requeue(signals)
        assert called == [signal.SIGUSR2] and asked(tmp_path) == ""
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_an_earlier_handler_that_returns_is_spoken_of(tmp_path: Path) -> None:
    signals = Signals()
    signals.previous_handlers[signal.SIGUSR1] = lambda number, frame: None
    assert "SIGUSR1 was passed to the previous handler" in slurm.requeue(signals)
    assert asked(tmp_path) == ""


QUEUE = """#!/bin/sh
case "$*" in
*jobs=12*) echo RUNNING;;
*jobs=13*) ;;
*jobs=14*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1;;
*) echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1;;
esac
"""


@pytest.mark.parametrize(
    ("job", "restarts", "gone"),
    [("12.0", "0", False), ("12.0", "1", True), ("12.1", "1", False), ("13.0", "0", True),
     ("14.0", "0", True), ("15.0", "0", False), ("13.0@other", "0", False),
     ("12.0@other", "1", False)],
)  # fmt: skip
def test_whether_a_job_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, restarts: str, gone: bool
) -> None:
    (tmp_path / "squeue").write_text(QUEUE)
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "lab")
    assert slurm.is_gone(job if "@" in job else f"{job}@lab") is gone


def test_the_cluster_is_asked_for_its_name_outside_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "squeue").write_text(QUEUE)
    (tmp_path / "squeue").chmod(0o755)
    (tmp_path / "scontrol").write_text('#!/bin/sh\necho "ClusterName             = lab"\n')
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    assert slurm.is_gone("13.0@lab") and not slurm.is_gone("13.0@other")


@pytest.mark.parametrize(("said", "seconds"), [("KillWait   = 45 sec", 45), ("x", 30)])
def test_how_long_a_job_is_waited_for(tmp_path: Path, said: str, seconds: float) -> None:
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "A = 1\n{said}"\n')
    assert slurm.kill_wait() == seconds
