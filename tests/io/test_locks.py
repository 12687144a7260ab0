"""Locks whose owner is ending, or gone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gantrain.errors import ConfigError
from gantrain.io import locks
from gantrain.runs.directory import RunDirectory
from tests.helpers.command_line import ENVIRONMENT

ENDS = """
import json, sys, time
from pathlib import Path
from gantrain.io import locks
path, job, marked, seconds = json.loads(sys.argv[1])
assert locks.acquire(Path(path)) is None
print("held", flush=True)
if marked:
    locks.mark_ending(Path(path))
    print("marked", flush=True)
time.sleep(seconds)
"""


def holder(path: Path, *, marked: bool, seconds: float, job: str = "") -> subprocess.Popen:
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("SLURM_")}
    process = subprocess.Popen(
        [sys.executable, "-c", ENDS, json.dumps([str(path), job, marked, seconds])],
        env=environment
        | ({"SLURM_JOB_ID": job, "SLURM_CLUSTER_NAME": "lab"} if job else {})
        | {"PYTHONPATH": str(Path(locks.__file__).parents[2])},
        stdout=subprocess.PIPE,
    )
    for word in ("held", *["marked"] * marked):
        assert process.stdout and process.stdout.readline().decode().strip() == word
    return process


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.mark.multi
def test_a_run_that_is_ending_is_waited_for(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(run.path / ".lock", marked=True, seconds=4)
    run.lock(patience=lambda: 60)
    assert process.wait(5) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert f"waiting up to 60 s for process {process.pid} on " in said and "ending" in said
    run.unlock()


@pytest.mark.multi
@pytest.mark.parametrize("marked", [True, False])
def test_the_wait_has_an_end(
    run: RunDirectory, marked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantrain.runs.directory.SECONDS_UNTIL_REFUSED", 0.1)
    process = holder(run.path / ".lock", marked=marked, seconds=60)
    try:
        with pytest.raises(ConfigError, match=f"is being trained by process {process.pid} on "):
            run.lock(patience=lambda: 0.2 if marked else pytest.fail("it is not ending"))
        assert not locks._descriptors
    finally:
        process.kill()
        process.wait()


@pytest.mark.multi
@pytest.mark.parametrize("gone", [True, False])
def test_the_lock_of_a_job_that_has_ended_is_taken_over(
    run: RunDirectory, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder stands for a file server that keeps the lock of a dead node."""
    monkeypatch.setattr("gantrain.runs.directory.SECONDS_UNTIL_REFUSED", 0.1)
    process = holder(run.path / ".lock", marked=False, seconds=60, job="31")
    asked: list[str] = []

    def is_gone(job: str) -> bool:
        asked.append(job)
        return gone

    try:
        with pytest.raises(ConfigError, match="is being trained by"):  # it lives on this machine
            run.lock(job_is_gone=lambda _: True)
        monkeypatch.setattr("socket.gethostname", lambda: "another")
        if gone:
            run.lock(job_is_gone=is_gone)
            assert run.in_use() and "job" not in (run.path / ".lock").read_text()
            run.unlock()
        else:
            with pytest.raises(ConfigError, match="is being trained by"):
                run.lock(job_is_gone=is_gone)
        assert asked == ["31.0@lab"]
        assert not locks.is_held(run.path / ".lock.takeover")
    finally:
        process.kill()
        process.wait()


def test_a_lock_that_changed_hands_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("77 elsewhere job=3.0\n")
    locks.take_over(path, locks.Owner(77, "elsewhere", "2.0"))
    assert path.exists()
    locks.take_over(path, locks.Owner(77, "elsewhere", "3.0"))
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "x y", "12", "\x00\x00", "12 host ending more job=4.1"])
def test_any_content_of_a_lock_file_is_understood(tmp_path: Path, text: str) -> None:
    owner = locks._read_owner(text)
    known = text.startswith("12 host")
    assert str(owner) == ("process 12 on host" if known else "another process")
    assert (owner.job, owner.is_ending) == (("4.1", True) if known else ("", False))
