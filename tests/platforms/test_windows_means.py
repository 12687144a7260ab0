"""Locks, signals, groups and memory by Windows' own means, without a training."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.platforms import emulation

pytestmark = pytest.mark.multi

HOLDS = """
import sys
from pathlib import Path
from gantrain.io import locks
path = Path("run.lock")
assert locks.acquire(path) is None
print("held", flush=True)
sys.stdin.readline()
locks.mark_ending(path)
print("marked", flush=True)
sys.stdin.readline()
"""
ASKS = """
from pathlib import Path
from gantrain.io import locks
path = Path("run.lock")
held = locks.is_held(path)
owner = locks.acquire(path, wait=0)
print(held, owner.process if owner else 0, owner.is_ending if owner else "")
if not owner:
    assert locks.is_held(path)
    locks.release(path)
    assert not locks.is_held(path)
"""


def test_locks(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    holder = emulation.start("windows", drive, "-c", HOLDS)
    assert holder.stdin and holder.stdout
    try:
        assert holder.stdout.readline() == b"held\n"
        assert emulation.run("windows", drive, ASKS) == f"True {holder.pid} False"
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"marked\n"
        assert emulation.run("windows", drive, ASKS) == f"True {holder.pid} True"
    finally:
        holder.kill()
        holder.communicate()
    assert emulation.run("windows", drive, ASKS) == "False 0"
    assert (drive / "run.lock").read_bytes().endswith(b"\n")
    assert b"\r" not in (drive / "run.lock").read_bytes()


LINK = """
import os, sys
from pathlib import Path
from gantrain.io import locks
try:
    locks.acquire(Path("linked"))
except OSError as error:
    print(error.errno)
"""


def test_a_lock_is_not_a_link(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    (tmp_path / "other").write_bytes(b"precious")
    (drive / "linked").symlink_to(tmp_path / "other")
    assert emulation.run("windows", drive, LINK) == "40"  # ELOOP of Linux
    assert (tmp_path / "other").read_bytes() == b"precious"


CHILD = """
import os, signal, sys, time
from gantrain.engine.signals import handle_signals, stop_with_parent
with handle_signals() as signals:
    stop_with_parent()
    print(os.getpid(), flush=True)
    while not signals.pop_request():
        time.sleep(0.02)
    print(signals.received.value, flush=True)
"""
PARENT = f"""
import os, sys
from gantrain.engine.signals import PARENT
from gantrain.io import processes
environment = os.environ | {{PARENT: str(os.getpid())}}
child = processes.start_in_own_group([sys.executable, "-c", {CHILD!r}], env=environment)
for line in sys.stdin:
    if line.strip() == "stop":
        processes.ask_to_stop(child)
        print(f"ended {{child.wait()}}", flush=True)
    if line.strip() == "kill":
        processes.kill_group(child)
        print(f"ended {{child.returncode}}", flush=True)
"""


def order(parent: subprocess.Popen[bytes], word: str) -> str:
    assert parent.stdin and parent.stdout
    parent.stdin.write(f"{word}\n".encode())
    parent.stdin.flush()
    return parent.stdout.readline().decode().strip()


@pytest.mark.parametrize("system", emulation.SYSTEMS)
@pytest.mark.parametrize("how", ["stop", "kill", "parent dies"])
def test_a_job_ends(system: str, how: str, tmp_path: Path) -> None:
    parent = emulation.start(system, tmp_path / "drive", "-c", PARENT)
    assert parent.stdout
    try:
        child = int(parent.stdout.readline())
        if how == "parent dies":
            parent.kill()
            assert parent.stdout.readline() == b"15\n"  # the child still writes to the pipe
        elif how == "kill":
            assert order(parent, "kill") == "ended -9"
        else:
            assert order(parent, "stop") == ("21" if system == "windows" else "2")
            assert parent.stdout.readline() == b"ended 0\n"
    finally:
        parent.kill()
        parent.communicate()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


MEMORY = """
from gantrain.io import system_memory
block = bytearray(100_000_000)
block[::4096] = b"x" * len(block[::4096])
print(system_memory.peak_bytes(), system_memory.available_bytes())
"""


@pytest.mark.parametrize(
    ("system", "available"), [("windows", 3e9), ("macos", 300_000 * 16384.0), ("", None)]
)
def test_memory(system: str, available: float | None, tmp_path: Path) -> None:
    peak, free = map(float, emulation.run(system, tmp_path / "drive", MEMORY).split())
    assert 1e8 < peak < 1e11  # Linux counts what the process held that started this one, too
    assert free == available if available else 1e7 < free < 1e13


REPLACES = """
import sys, threading, time
from pathlib import Path
from gantrain.io import files
files.BUSY_SECONDS = float(sys.stdin.readline())
Path("new").write_bytes(b"new")
Path("old").write_bytes(b"old")
reader = open("old", "rb")
threading.Timer(0.3, reader.close).start()
try:
    files.replace_file(Path("new"), Path("old"))
except PermissionError:
    print("refused")
print(Path("old").read_bytes().decode())
"""


@pytest.mark.parametrize(
    ("system", "patience", "said"),
    [("windows", 10, "new"), ("windows", 0, "refused\nold"), ("macos", 0, "new")],
)
def test_a_file_that_is_read_is_replaced_later(
    system: str, patience: float, said: str, tmp_path: Path
) -> None:
    process = emulation.start(system, tmp_path / "drive", "-c", REPLACES)
    output, _ = process.communicate(f"{patience}\n".encode(), timeout=30)
    assert output.decode().replace("\r", "").strip() == said
