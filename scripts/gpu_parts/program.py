"""Run gantrain as a user does, in its own processes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers import command_line
from tests.helpers.command_line import Running

from .task import Task

PLAIN = [  # training without reports beside metrics.jsonl
    "tracking.to=[]",
    "tracking.grid_every_kimg=0",
    "tracking.health_every_kimg=0",
    "evaluation.test_images=0",
    "train.epochs=null",
    "lr.unit=image",
]

_OUTPUT: dict[int, Path] = {}  # process id -> file with the output of a process without a pipe


def start(task: Task, folder: Path, *overrides: str) -> Running:
    """Start `gantrain overrides...` in `folder`, in its own process group.

    Without CUDA, the process is forked from one that has imported torch, which saves most of the
    time of a rehearsal. With CUDA, a new process is started, as a user would.
    """
    arguments = [*overrides, f"runtime.device={task.device}"]
    print(f"{folder.name}$ gantrain {' '.join(arguments)}", flush=True)
    if not task.on_cuda:
        return command_line.start(folder, *arguments)
    folder.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(".txt", "output-", folder)
    with os.fdopen(number, "w") as file:  # a pipe that is not read yet would fill up
        process = subprocess.Popen(
            [sys.executable, "-m", "gantrain", *arguments],
            cwd=folder,
            text=True,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _OUTPUT[process.pid] = Path(name)
    return process


def finish(task: Task, process: Running, code: int | None = 0) -> str:
    """Wait for a process, and print and return its output.

    Args:
        task: the part, which limits the time.
        process: from `start`.
        code: the expected exit code; None: any.

    Raises:
        RuntimeError: the exit code is another one; names the last line of the output.
        subprocess.TimeoutExpired: the time of the part is almost over.
    """
    output, _ = process.communicate(timeout=max(1.0, task.left() - 2))
    if output is None:
        output = _OUTPUT[process.pid].read_text(errors="replace")
    print(output, flush=True)
    if code is not None and process.returncode != code:
        last = (output.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"gantrain ended with code {process.returncode}, saying: {last}")
    return output


def run(task: Task, folder: Path, *overrides: str) -> str:
    """Run gantrain to the end, and return its output; see `start` and `finish`."""
    return finish(task, start(task, folder, *overrides))


def kill(process: Running) -> None:
    """Kill the whole process group."""
    os.killpg(process.pid, signal.SIGKILL)


def wait_until(task: Task, process: Running, condition: Callable[[], bool]) -> bool:
    """Wait while the process runs and there is time; return whether the condition came true."""
    while process.poll() is None and task.left() > 3:
        if condition():
            return True
        time.sleep(0.002)
    return False


def rows(run_folder: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl."""
    file = run_folder / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
