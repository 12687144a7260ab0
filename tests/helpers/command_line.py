"""gantrain as a user runs it: in a process of its own, on tiny settings.

The processes are forked from one that has imported torch (fork_server.py), unless a test asks for
a cold start, or GANTRAIN_TESTS=cold does for all of them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.helpers import fork_server

TINY = [
    "data=shapes", "data.resolution=16", "data.train_images=8", "data.test_images=2",
    "model.ngf=2", "model.ndf=2", "model.blocks=1", "model.d_layers=1", "model.pool_size=3",
    "train.epochs=null", "lr.unit=image", "tracking.to=[]",
    "tracking.grid_every_kimg=0", "evaluation.test_images=0",
]  # fmt: skip
VOLATILE = ("progress/img_per_sec", "progress/data_wait", "resources/memory_gb")
COLD = not fork_server.POSSIBLE or os.environ.get("GANTRAIN_TESTS") == "cold"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


Running = subprocess.Popen[str] | fork_server.Process
_started: list[Running] = []


def start(
    folder: Path,
    *overrides: str,
    environment: dict[str, str] | None = None,
    launcher: Sequence[str] = (),
    cold: bool = COLD,
) -> Running:
    """`gantrain overrides...` in `folder`, in a process group of its own.

    launcher: Python's arguments before it, such as -m torch.distributed.run.
    cold: with a Python of its own, which imports torch anew; so it is with a launcher.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = ENVIRONMENT | (environment or {})
    paths = [env.get("PYTHONPATH"), ENVIRONMENT.get("PYTHONPATH")]  # added to, not replaced
    env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    if cold or launcher:
        process = subprocess.Popen(
            [sys.executable, *launcher, "-m", "gantrain", *overrides],
            cwd=folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    else:
        process = fork_server.start(folder, overrides, env)
    _started.append(process)
    return process


def end_all() -> None:
    """After a test: what it started and left must not train on beside the next ones."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def finish(process: Running, code: int = 0, timeout: float = 120) -> str:
    """Wait, check the exit code, return what was printed."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == code, output
    return output


def gantrain(
    folder: Path,
    *overrides: str,
    code: int = 0,
    environment: dict[str, str] | None = None,
    cold: bool = COLD,
) -> str:
    """Run to the end."""
    return finish(start(folder, *overrides, environment=environment, cold=cold), code)


def gantrain_on_ranks(
    folder: Path, count: int, *overrides: str, environment: dict[str, str] | None = None
) -> str:
    """Run to the end in `count` processes as torchrun starts them; what rank 0 says.

    Not by way of runtime.devices, whose ranks import torch anew.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **(environment or {}),
        "WORLD_SIZE": f"{count}",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": f"{port}",
    }
    ranks = [
        start(folder, *overrides, environment={**common, "RANK": f"{i}", "LOCAL_RANK": f"{i}"})
        for i in range(count)
    ]
    said, *_ = [finish(rank) for rank in ranks]
    return said


def wait_for(process: Running, condition: Callable[[], bool]) -> None:
    """Until `condition()` while the process runs."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def interrupt(process: Running, run: Path, checkpoints: int, how: signal.Signals) -> str:
    """Send a signal once the run has so many checkpoints: SIGKILL to the whole group."""
    wait_for(process, lambda: len(list(run.glob("checkpoints/checkpoint-*.pt"))) >= checkpoints)
    if how == signal.SIGKILL:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    return finish(process, -9 if how == signal.SIGKILL else 75)


def final_state(run: Path) -> dict[str, Any]:
    """Content of the newest checkpoint."""
    newest = sorted(run.glob("checkpoints/checkpoint-*.pt"))[-1]
    return torch.load(newest, weights_only=True)


def rows(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in VOLATILE} for row in lines]


def differences(x: Any, y: Any, path: str = "") -> list[str]:
    """Paths at which two nested states are not bitwise equal."""
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return [] if x.dtype == y.dtype and torch.equal(x, y) else [path]
    if isinstance(x, dict) and isinstance(y, dict):
        missing = [f"{path}.{key}" for key in x.keys() ^ y.keys()]
        return missing + [
            d for k in x.keys() & y.keys() for d in differences(x[k], y[k], f"{path}.{k}")
        ]
    if isinstance(x, list | tuple) and isinstance(y, list | tuple) and len(x) == len(y):
        return [
            d
            for i, (a, b) in enumerate(zip(x, y, strict=True))
            for d in differences(a, b, f"{path}[{i}]")
        ]
    return [] if type(x) is type(y) and x == y else [path]
