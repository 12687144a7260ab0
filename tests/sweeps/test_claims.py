"""Claims: what one start of a sweep has, another one has not."""

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gantrain.errors import ConfigError
from gantrain.io import locks
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps import claims
from gantrain.sweeps.launchers.local import JobQueue, Local
from gantrain.sweeps.manifest import Job
from tests.sweeps.conftest import Run, claimed_elsewhere
from tests.sweeps.test_sweep_command import SEEDS


def is_free(folder: Path, what: str) -> bool:
    try:
        with claimed_elsewhere(folder, what):
            return True
    except BlockingIOError:
        return False


def test_a_claim_outlasts_the_runs_of_this_process_but_not_its_block(tmp_path: Path) -> None:
    with claims.taken(tmp_path, "search") as is_ours:
        assert is_ours and not is_free(tmp_path, "search")
        locks.release_all()  # as at the end of a run
        assert not is_free(tmp_path, "search")
    assert is_free(tmp_path, "search") and not locks._descriptors and not locks._kept


def test_a_data_worker_that_outlives_its_parent_has_no_claim(tmp_path: Path) -> None:
    claim = claims.take(tmp_path, "seed-1")
    assert claim
    end, start = os.pipe()
    if not (worker := os.fork()):
        os.close(start)
        os.read(end, 1)
        os._exit(0)
    os.close(end)
    deadline = time.monotonic() + 30
    locks.release(claim)
    while not is_free(tmp_path, "seed-1"):  # the worker closes its copy when it starts
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(start)
    os.waitpid(worker, 0)


def test_one_is_waited_for_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    said_text: list[str] = []

    def say(text: str, **_: bool) -> None:
        said_text.append(text)
        said.set()

    monkeypatch.setattr("builtins.print", say)
    (tmp_path / claims.FOLDER).mkdir()
    with claimed_elsewhere(tmp_path, "planning"):
        start = time.monotonic()
        assert claims.take(tmp_path, "planning") is None
        assert time.monotonic() - start < locks.TIMEOUT  # many runs may be another's
        order: list[str] = []

        def wait() -> None:
            with claims.claimed(tmp_path, "planning"):
                order.append("claimed")

        other = threading.Thread(target=wait)
        other.start()
        assert said.wait(30)
        order.append("released")
    other.join(30)
    assert said_text == [f"{tmp_path}: waiting for another start of this sweep (planning)."]
    assert order == ["released", "claimed"]


def test_the_claim_to_a_run_that_is_left_alone_is_released(tmp_path: Path) -> None:
    """The run is trained by another process, without the sweep."""
    launcher, job = Local(), Job("seed-1", ())
    launcher.sweep = cast(Any, SimpleNamespace(folder=tmp_path, grid=True, jobs=lambda: (job,)))
    directory = RunDirectory(tmp_path / "seed-1")
    directory.path.mkdir()
    directory.lock()
    queue = JobQueue([], [0])
    launcher._start(queue, job, {})
    directory.unlock()
    assert queue.unfinished == [job] and is_free(tmp_path, "seed-1")


def test_no_claim_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / claims.FOLDER).mkdir()
    (tmp_path / claims.FOLDER / "seed-1.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError, match=r"seed-1.lock cannot be written \(Too many .* remove it"):
        claims.take(tmp_path, "seed-1")
    assert not (tmp_path / "precious").exists()


def test_a_run_that_another_start_is_about_to_train_is_left_alone(
    gantrain: Run, trained: list[str]
) -> None:
    gantrain(*SEEDS)
    Path("sweeps/seeds/seed-1/result.json").unlink()
    trained.clear()
    with claimed_elsewhere(Path("sweeps/seeds"), "seed-1"):
        answer = gantrain(*SEEDS)
    assert answer.code == 75 and "is being trained by another process" in answer.out
    assert trained == [] and not Path("sweeps/seeds/failed").exists()
