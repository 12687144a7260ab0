"""`python -m gantrain` in a process of its own, forked from one that has imported torch.

Imports are most of what a tiny run costs. What all processes share is the seed of Python's hashes,
and so the order in sets: where two runs are compared bit for bit, one of them is to be started
cold, and so is what depends on the order of imports.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gantrain

POSSIBLE = sys.platform == "linux"  # elsewhere a fork is not safe after so many imports
PRELOADED = (
    "torch", "torch._dynamo", "torch._inductor.config", "torch.distributed.launcher.api",
    "torch.utils.data", "torch.utils.tensorboard", "hydra._internal.hydra", "hydra.utils",
    "rich.live", "rich.progress", "rich.table", "PIL.ImageDraw", "PIL.ImageFont",
)  # fmt: skip
PID = 12  # letters
ROOT = Path(__file__).parents[2]


class Process:
    """A running `gantrain`: what the tests use of `subprocess.Popen`, and in the same way."""

    def __init__(self, pid: int, output: int, ending: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(output)
        self._ending = os.fdopen(ending)  # readable once the process has ended

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        if self.returncode is None and select.select([self._ending], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(int(self._ending.read()))
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """What it still prints. After `timeout` seconds its group is killed, and the error raised
        that Popen raises."""
        late = threading.Event()
        with contextlib.ExitStack() as stack:
            if timeout is not None:
                timer = threading.Timer(timeout, self._kill_group, [late])
                timer.start()
                stack.callback(timer.cancel)
            output = self.stdout.read()
            self.wait()
        if late.is_set():
            raise subprocess.TimeoutExpired("gantrain", timeout or 0, output)
        return output, None

    def _kill_group(self, late: threading.Event) -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
    """`python -m gantrain arguments...` in `folder`, in a session of its own.

    environment: all of it; of what Python reads at its start only PYTHONPATH has an effect.
    """
    output, output_end = os.pipe()
    ending, ending_end = os.pipe()
    order = {"folder": str(folder), "arguments": [*arguments], "environment": {**environment}}
    socket.send_fds(_server(), [json.dumps(order).encode()], [output_end, ending_end])
    os.close(output_end)
    os.close(ending_end)
    return Process(int(os.read(ending, PID)), output, ending)


@cache
def _server() -> socket.socket:
    """A connection to the process that is forked; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.fork_server", str(its.fileno())],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        pass_fds=[its.fileno()],
        stdin=subprocess.DEVNULL,
    )
    its.close()
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each order, until there are no more; returns in a new process, with its order."""
    while True:
        message, fds, _, _ = socket.recv_fds(connection, 1 << 18, 2)
        if not message:
            sys.exit()
        if os.fork() == 0:
            connection.close()
            return _watched(json.loads(message), *fds)
        for fd in fds:
            os.close(fd)


def _watched(order: dict[str, Any], output: int, ending: int) -> dict[str, Any]:
    """One fork more: the first tells how the second ends, which only a parent learns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        os.close(output)
        os.write(ending, f"{child:{PID}}".encode())
        os.write(ending, f"{os.waitpid(child, 0)[1]}".encode())
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as if not under nohup, and not in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.close(ending)
    for fd in (1, 2):
        os.dup2(output, fd)
    os.close(output)
    return order


def _own_modules() -> list[str]:
    """All modules of gantrain but the one that is run, and those of the page, which need gradio."""
    found = [module.name for module in pkgutil.walk_packages(gantrain.__path__, "gantrain.")]
    page = "gantrain.studio.page."
    return [name for name in found if name != "gantrain.__main__" and not name.startswith(page)]


def _become(order: dict[str, Any]) -> None:
    """What the shell and Python's start would have set."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    added = order["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [order["folder"], *filter(None, added)]
    sys.argv = ["gantrain", *order["arguments"]]
    runpy.run_module("gantrain", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watching processes
    for _name in (*PRELOADED, *_own_modules()):
        importlib.import_module(_name)
    gc.collect()
    gc.freeze()  # a collection in a new process need not look at, and so copy, what was there
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would not survive the fork"
    _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
