"""gantrain as a user runs it, in processes of its own."""

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

PLAIN = [  # nothing but the training itself
    "tracking.tensorboard=false",
    "tracking.grid_every_kimg=0",
    "tracking.health_every_kimg=0",
    "evaluation.test_images=0",
    "train.epochs=null",
    "lr.unit=image",
]

_SAID: dict[int, Path] = {}  # what processes without a pipe print, by their number


def start(task: Task, folder: Path, *overrides: str) -> Running:
    """`gantrain overrides...` in `folder`, in a process group of its own.

    Without CUDA it is forked from a process that has imported torch, which saves most of a
    rehearsal's time; CUDA's processes are started anew, as a user's.
    """
    given = [*overrides, f"runtime.device={task.device}"]
    print(f"{folder.name}$ gantrain {' '.join(given)}", flush=True)
    if not task.on_cuda:
        return command_line.start(folder, *given)
    folder.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(".txt", "said-", folder)
    with os.fdopen(number, "w") as file:  # a pipe that nobody reads yet would fill
        process = subprocess.Popen(
            [sys.executable, "-m", "gantrain", *given],
            cwd=folder,
            text=True,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _SAID[process.pid] = Path(name)
    return process


def finish(task: Task, process: Running, code: int | None = 0) -> str:
    """Wait for it, and return what it printed, which goes to the log as well.

    code: the exit code it must have, None: any. Raises RuntimeError with the last line when it has
    another, TimeoutExpired shortly before the part's own time is over.
    """
    said, _ = process.communicate(timeout=max(1.0, task.left() - 2))
    if said is None:
        said = _SAID[process.pid].read_text(errors="replace")
    print(said, flush=True)
    if code is not None and process.returncode != code:
        last = (said.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"gantrain ended with code {process.returncode}, saying: {last}")
    return said


def run(task: Task, folder: Path, *overrides: str) -> str:
    """To the end; see `finish`."""
    return finish(task, start(task, folder, *overrides))


def kill(process: Running) -> None:
    """SIGKILL to the whole group."""
    os.killpg(process.pid, signal.SIGKILL)


def wait_until(task: Task, process: Running, condition: Callable[[], bool]) -> bool:
    """Whether the condition came true while the process ran and there was time."""
    while process.poll() is None and task.left() > 3:
        if condition():
            return True
        time.sleep(0.002)
    return False


def rows(run_folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl."""
    file = run_folder / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
