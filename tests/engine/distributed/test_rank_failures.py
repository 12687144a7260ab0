"""A rank that goes wrong, or a signal, ends all ranks, with one message and nobody left behind."""

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.launcher.api import LaunchConfig

from gantrain.engine.distributed import launch
from tests.helpers.command_line import (
    ENVIRONMENT,
    TINY,
    final_state,
    finish,
    interrupt,
    start,
    wait_for,
)

pytestmark = pytest.mark.multi

CYCLEGAN = [
    *TINY, "runtime=cpu", "train.batch=4", "train.kimg=0.04", "tracking.every_kimg=0.02",
    "lr.schedule=constant",
]  # fmt: skip
FAULTY = [
    *CYCLEGAN, "runtime.devices=2", "runtime.timeout=20", "model._target_=faulty_gan.FaultyGAN",
    "name=run", "checkpoint.every_kimg=0.008",
]  # fmt: skip
PLUGIN = {
    "GANTRAIN_PLUGINS": "faulty_gan",
    "PYTHONPATH": str(Path(__file__).parents[2] / "helpers" / "faults"),
}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("kill", "Rank 1 exited unexpectedly"),
        pytest.param("hang", "Rank 1 has not reached this point for 3 s", marks=pytest.mark.ci),
        pytest.param("raise", "Rank 1 failed:", marks=pytest.mark.ci),
        pytest.param(
            "drift", "The weights on rank 1 differ from those of rank 0", marks=pytest.mark.ci
        ),
        pytest.param(
            "not_finite",
            "on rank 1 was not finite at step 3: the first NaN came in the loss itself, from aten",
            marks=pytest.mark.ci,
        ),
    ],
)
def test_a_rank_that_goes_wrong_ends_all(tmp_path: Path, fault: str, said: str) -> None:
    more = [f"+model.fault={fault}", *(["runtime.timeout=3"] if fault == "hang" else [])]
    process = start(tmp_path, *FAULTY, *more, environment=PLUGIN)
    output = finish(process, code=1)
    assert said in output
    assert ("Traceback" in output) == (fault in ("raise", "drift")) and output.count("Rank 1") <= 2
    assert nobody_left(process.pid)
    assert final_state(tmp_path / "runs" / "run")["index"] in (2, 3)


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.ci)])
@pytest.mark.ci
def test_no_memory_left_is_a_sentence(tmp_path: Path, devices: int) -> None:
    command = [*FAULTY, "+model.fault=memory", f"runtime.devices={devices}"]
    process = start(tmp_path, *command, environment=PLUGIN)
    output = finish(process, code=1)
    assert "Traceback" not in output and output.count("Error: ") == 1
    images = 4 // devices
    assert (
        "Out of memory on cpu. CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 "
        "has a total capacity of 79.10 GiB of which 1.20 GiB is free. "
        f"The microbatch is {images}: resume with less, gantrain "
        f"resume=runs/run train.microbatch={images // 2} or runtime.precision=bf16;"
    ) in output
    assert nobody_left(process.pid)
    resumed = start(tmp_path, "resume=runs/run", "train.microbatch=1", environment=PLUGIN)
    assert "Resuming at 0.008 kimg." in finish(resumed)


def nobody_left(group: int) -> bool:
    """Whether all processes of a group end within seconds."""
    for _ in range(150):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


LONG = [*CYCLEGAN, "train.kimg=1000", "checkpoint.every_kimg=0.1", "runtime.devices=2", "name=run"]


@pytest.mark.ci
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_the_starting_process_stops_all(tmp_path: Path, how: signal.Signals) -> None:
    process = start(tmp_path, *LONG)
    run = tmp_path / "runs" / "run"
    said = interrupt(process, run, checkpoints=1, how=how)
    assert said.count(f"Stopped by {how.name}") == 1 and "Traceback" not in said
    assert nobody_left(process.pid)
    assert len(final_state(run)["ranks"]) == 2


def test_a_signal_before_the_ranks_are_there_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = launch._launch_config

    def interrupted(count: int, folder: str) -> LaunchConfig:
        os.kill(os.getpid(), signal.SIGTERM)
        return settings(count, folder)

    monkeypatch.setattr(launch, "_launch_config", interrupted)
    with pytest.raises(SystemExit) as caught:
        launch.launch(2, time.sleep, 5)
    assert caught.value.code == 128 + signal.SIGTERM
    assert "Stopped by SIGTERM before the training began." in capsys.readouterr().out


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.ci)])
@pytest.mark.ci
def test_closing_the_terminal_stops_all(tmp_path: Path, devices: int) -> None:
    """Also of one process; what it still has to say is lost, but in the log."""
    command = [sys.executable, "-m", "gantrain", *LONG, f"runtime.devices={devices}"]
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
        os.chdir(tmp_path)
        os.execve(sys.executable, command, ENVIRONMENT)
    run = tmp_path / "runs" / "run"
    for _ in range(600):
        if any(run.glob("checkpoints/*.pt")):
            break
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 65536)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    assert nobody_left(pid)
    log = (run / "log.txt").read_text()
    assert f"Stopped by SIGHUP at {final_state(run)['nimg'] / 1000:g} kimg" in log


@pytest.mark.ci
def test_ctrl_c_reaches_everybody_twice(tmp_path: Path) -> None:
    process = start(tmp_path, *LONG)
    run = tmp_path / "runs" / "run"
    wait_for(process, lambda: any(run.glob("checkpoints/*.pt")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert "Stopped by SIGINT" in finish(process, 75)
    assert nobody_left(process.pid)


@pytest.mark.ci
def test_ranks_do_not_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    process = start(tmp_path, *LONG)
    run = tmp_path / "runs" / "run"
    wait_for(process, lambda: any(run.glob("checkpoints/*.pt")))
    process.kill()
    process.wait()
    assert nobody_left(process.pid)
    assert final_state(run)["nimg"] >= 100
