"""A run that is killed, interrupted or told to end while a checkpoint is being written."""

import os
import signal
import time
from pathlib import Path

import pytest

from gantrain.io.files import is_intact
from tests.engine.test_resume_exact import STATEFUL, assert_equal_runs
from tests.helpers.command_line import (
    Running,
    final_state,
    finish,
    gantrain,
    rows,
    start,
    wait_for,
)

pytestmark = pytest.mark.multi

PLUGIN = {
    "GANTRAIN_PLUGINS": "stuck_disk",
    "PYTHONPATH": str(Path(__file__).parents[1] / "helpers" / "faults"),
}
COMMAND = [*STATEFUL, "name=run", "model._target_=stuck_disk.StuckDisk"]
RUN = Path("runs/run")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("straight")
    gantrain(folder, *STATEFUL, "name=run")
    return folder / RUN


@pytest.fixture
def stuck(tmp_path: Path) -> Running:
    return start_stuck(tmp_path)


def start_stuck(tmp_path: Path, *more: str) -> Running:
    """A run that trains on while its checkpoint of 80 images stays half written."""
    (tmp_path / "stuck").write_text("80")
    process = start(tmp_path, *COMMAND, *more, environment=PLUGIN)
    wait_for(process, (tmp_path / "caught").exists)
    # The checkpoint of 120 images waits for that of 80.
    wait_for(process, lambda: rows(tmp_path / RUN)[-1]["nimg"] == 108)
    assert names(tmp_path) == ["checkpoint-000000.040.pt"]
    assert len(list(tmp_path.glob("runs/run/checkpoints/.*.tmp"))) == 1
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / RUN).glob("checkpoints/*.pt"))


def resume(folder: Path) -> None:
    gantrain(folder, *COMMAND, environment=PLUGIN)
    assert not list((folder / RUN).rglob("*.tmp"))


@pytest.mark.ci
def test_a_kill_costs_one_interval(straight: Path, tmp_path: Path, stuck: Running) -> None:
    os.killpg(stuck.pid, signal.SIGKILL)
    finish(stuck, -9)
    assert final_state(tmp_path / RUN)["nimg"] == 40
    assert all(is_intact(path) for path in (tmp_path / RUN).glob("checkpoints/*.pt"))
    (tmp_path / "stuck").unlink()
    resume(tmp_path)
    assert_equal_runs(tmp_path / RUN, straight)


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.ci)])
def test_a_run_that_is_told_to_end_completes_the_file(
    straight: Path, tmp_path: Path, stuck: Running, how: signal.Signals
) -> None:
    stuck.send_signal(how)
    wait_for(stuck, lambda: "ending" in (tmp_path / RUN / ".lock").read_text())
    assert names(tmp_path) == ["checkpoint-000000.040.pt"]
    (tmp_path / "stuck").unlink()
    output = finish(stuck, 75)
    nimg = final_state(tmp_path / RUN)["nimg"]
    assert f"Stopped by {how.name} at {nimg / 1000:g} kimg; the state is saved." in output
    assert "checkpoint-000000.080.pt" in names(tmp_path) and 108 <= nimg <= 120
    resume(tmp_path)
    assert_equal_runs(tmp_path / RUN, straight)


def test_a_second_interrupt_saves_nothing_more_but_tears_nothing(
    straight: Path, tmp_path: Path
) -> None:
    # Without data workers, which may complain of a batch that was not fetched.
    stuck = start_stuck(tmp_path, "runtime.workers=0")
    stuck.send_signal(signal.SIGINT)
    wait_for(stuck, lambda: "ending" in (tmp_path / RUN / ".lock").read_text())
    stuck.send_signal(signal.SIGINT)
    (tmp_path / "stuck").unlink()
    output = finish(stuck, 130)
    assert "Traceback" not in output and "state is saved" not in output
    assert names(tmp_path)[-1] == "checkpoint-000000.080.pt"
    resume(tmp_path)
    assert_equal_runs(tmp_path / RUN, straight)


@pytest.mark.ci
def test_ranks_wait_longer_for_a_file_than_for_a_rank(tmp_path: Path) -> None:
    ranks = ["runtime=cpu", "runtime.devices=2", "runtime.timeout=2"]
    process = start_stuck(tmp_path, *ranks)
    time.sleep(4)
    (tmp_path / "stuck").unlink()
    finish(process, 0)
    assert final_state(tmp_path / RUN)["nimg"] == 240 and len(names(tmp_path)) == 6
