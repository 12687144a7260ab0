"""launcher=local: processes side by side."""

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from gantrain.errors import ConfigError
from gantrain.runs.directory import RunDirectory
from gantrain.sweeps.launchers import local
from gantrain.sweeps.launchers.local import Local
from gantrain.sweeps.manifest import Job
from tests.helpers.command_line import (
    TINY,
    differences,
    final_state,
    finish,
    gantrain,
    start,
    wait_for,
)

pytestmark = pytest.mark.multi
RUN = [*TINY, "runtime=cpu", "runtime.workers=0", "checkpoint.every_kimg=0.01", "train.kimg=0.06"]


def checkpoints(run: Path) -> list[Path]:
    return sorted(run.glob("checkpoints/checkpoint-*.pt"))


@pytest.mark.ci
def test_stopped_twice_and_repeated_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps/s"
    run = [*RUN, "train.kimg=0.3"]  # seconds: the signals must find both under way
    argv = ["launcher=local", *run, "seed=0,1,2", "name=s", "hydra.launcher.jobs=2"]
    last: list[list[Path]] = [[], []]
    for how in (signal.SIGHUP, signal.SIGINT):
        default = signal.default_int_handler if how == signal.SIGINT else signal.SIG_DFL
        inherited = signal.signal(how, default)
        try:
            process = start(tmp_path, *argv)  # under nohup it would inherit that SIGHUP is ignored
        finally:
            signal.signal(how, inherited)
        wait_for(process, lambda: all(checkpoints(sweep / f"seed-{i}") > last[i] for i in (0, 1)))
        process.send_signal(how)
        said = finish(process, 75)
        assert "Stopping: 2 running" in said and "2 stopped, 1 waiting" in said
        assert not (sweep / "seed-2").exists() and not (sweep / "failed").exists()
        last[:] = [checkpoints(sweep / f"seed-{i}") for i in (0, 1)]

    said = gantrain(tmp_path, *argv)
    assert "3 done" in said
    assert (sweep / "logs/seed-1.txt").read_text().count("Resuming at") == 2

    gantrain(tmp_path, *run, "seed=1", "name=alone")
    assert differences(
        final_state(sweep / "seed-1")["gan"], final_state(tmp_path / "runs/alone")["gan"]
    ) == []  # fmt: skip
    assert "[2/3] seed-1: already done" in gantrain(tmp_path, *argv)


def test_a_run_that_dies_is_recorded_and_a_second_ctrl_c_ends_all(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps/s"
    argv = ["launcher=local", *RUN, "train.kimg=100", "seed=0,1", "name=s", "hydra.launcher.jobs=2"]
    process = start(tmp_path, *argv)
    wait_for(process, lambda: all(checkpoints(sweep / f"seed-{i}") for i in (0, 1)))
    first, second = (int((sweep / f"seed-{i}/.lock").read_text().split()[0]) for i in (0, 1))
    os.kill(first, signal.SIGKILL)
    wait_for(process, (sweep / "failed/seed-0.json").exists)
    assert json.loads((sweep / "failed/seed-0.json").read_text())["kind"] == "killed by signal 9"
    os.kill(second, signal.SIGSTOP)  # it cannot save: the first Ctrl-C waits for it
    process.send_signal(signal.SIGINT)
    log = []
    assert process.stdout is not None
    while not any("Stopping" in line for line in log):
        log.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    said = finish(process, 75)
    assert "1 stopped, 1 failed" in said
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.ci)])
@pytest.mark.ci
def test_runs_save_and_leave_when_the_sweep_is_killed(tmp_path: Path, devices: int) -> None:
    sweep = tmp_path / "sweeps/s"
    argv = [
        "launcher=local", *RUN, "train.kimg=100", "checkpoint.every_kimg=0.1", "train.batch=2",
        "seed=0,1", "name=s", f"hydra.launcher.jobs={3 - devices}", f"runtime.devices={devices}",
    ]  # fmt: skip
    process = start(tmp_path, *argv)
    started = [sweep / f"seed-{i}" for i in range(3 - devices)]
    wait_for(process, lambda: all(checkpoints(run) for run in started))
    process.kill()
    process.communicate()
    for run in started:
        trains = int((run / ".lock").read_text().split()[0])
        for _ in range(300):
            if not RunDirectory(run).in_use():
                break
            time.sleep(0.1)
        else:
            os.kill(trains, signal.SIGKILL)
        said = f"Stopped by SIGTERM at {final_state(run)['nimg'] / 1000:g} kimg"
        assert said in (run / "log.txt").read_text()


def config(device: str = "auto", devices: int = 1) -> Any:
    return OmegaConf.create({"runtime": {"device": device, "devices": devices}})


@pytest.mark.parametrize(
    ("gpus", "jobs", "per_job", "asked", "slots", "threads"),
    [
        ("0,1,2,3", None, None, config(), ["0", "1", "2", "3"], 2),
        ("GPU-a,GPU-b", None, None, config(), ["GPU-a", "GPU-b"], 4),
        ("0,1,2,3", None, 2, config(), ["0,1", "2,3"], 4),
        ("0,1,2,3,4", None, None, config(devices=2), ["0,1", "2,3"], 4),
        ("0,1", 4, None, config(), ["0", "1", "0", "1"], 2),
        ("0,1", None, None, config("cpu"), ["", "", "", ""], 2),
        ("", None, None, config(), ["", "", "", ""], 2),
        ("-1", 3, None, config(), ["", "", ""], 2),
        ("", None, None, config(devices=4), ["", ""], 1),
    ],
)
def test_devices_are_dealt_out(
    monkeypatch: pytest.MonkeyPatch,
    gpus: str,
    jobs: int | None,
    per_job: int | None,
    asked: Any,
    slots: list[str],
    threads: int,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local, "available_cores", lambda: 8)
    launcher = Local(jobs, per_job)
    launcher._assign_slots({Job("a", ()): asked}, count=9)
    assert (launcher.slots, launcher.threads) == (slots, threads)
    found = [launcher._environment(slot) for slot in range(len(slots))]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in found] == [slot or gpus for slot in slots]
    assert {env["OMP_NUM_THREADS"] for env in found} == {str(threads)}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert launcher._environment(0)["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (config("cuda:1"), "Remove runtime.device"),
        (config(devices=3), "Each run needs 3 devices, but there are 2"),
    ],
)
def test_devices_that_cannot_be_dealt(
    monkeypatch: pytest.MonkeyPatch, asked: Any, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(ConfigError, match=said):
        Local()._assign_slots({Job("a", ()): asked}, count=1)


def test_gpus_are_counted_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(
        "subprocess.run", lambda *args, **kwargs: SimpleNamespace(stdout="3\n", returncode=0)
    )
    assert local.visible_devices() == ["0", "1", "2"]


@pytest.mark.ci
def test_the_first_failure_stops_what_runs_beside_it(tmp_path: Path) -> None:
    # One fails after seconds of training: by then the other one has begun as well.
    rates = "optimizer.lr=1e-4,[[0,1e-4],[0.4,1e-4],[0.401,1e30]]"
    argv = ["launcher=local", *RUN, "train.kimg=100", rates, "name=s"]
    said = gantrain(tmp_path, *argv, "hydra.launcher.jobs=2", "stop_on_failure=true", code=1)
    assert "1 stopped, 1 failed" in said and "Stopped at the first failure" in said
    assert checkpoints(tmp_path / "sweeps/s/lr-0.0001")  # it has saved its state
