"""Start, stop and watch processes, by the means of each system.

Windows has no signals between processes. A console sends Ctrl-C and Ctrl-Break to groups of
processes, and a group of its own receives Ctrl-Break only.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any


def start_in_own_group(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process that gets no Ctrl-C of the terminal.

    Args:
        command: the program and its arguments.
        options: further arguments of `subprocess.Popen`.
    """
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True
    return subprocess.Popen(command, **options)


def ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """Send Ctrl-C, or on Windows Ctrl-Break, to a process of `start_in_own_group`."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGINT)


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process of `start_in_own_group`, with its own processes, and wait for its end."""
    if sys.platform == "win32":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def forward_signal(process: int, number: int) -> None:
    """Send a signal to another process.

    On Windows do nothing: os.kill would end the process at once, and the console has sent Ctrl-C
    and Ctrl-Break to it already.

    Args:
        process: its number; it may have ended.
        number: that of the signal.
    """
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def signal_self(number: int) -> None:
    """Send a signal to this process, so that its main thread runs the handler."""
    if sys.platform == "win32":
        signal.raise_signal(number)  # os.kill would end the process at once
    else:
        os.kill(os.getpid(), number)  # raised in a thread, it would not end the main thread's wait


def wait_for_end_of_parent(parent: int) -> None:
    """Wait until the process that has started this one is gone, however it ended.

    Args:
        parent: its number. On Windows it may be a process further up: the Python of a virtual
            environment starts another one.
    """
    if sys.platform == "win32":
        _wait_for_end_on_windows(parent)  # os.getppid keeps its number when it is gone
    else:
        while os.getppid() == parent:
            time.sleep(0.5)


def _wait_for_end_on_windows(process: int) -> None:
    import ctypes
    from ctypes import wintypes

    synchronize, infinite = 0x00100000, 0xFFFFFFFF
    kernel = ctypes.WinDLL("kernel32")  # pyright: ignore[reportAttributeAccessIssue]
    kernel.OpenProcess.restype = wintypes.HANDLE
    handle = kernel.OpenProcess(synchronize, False, process)
    if handle:  # otherwise it has ended already
        kernel.WaitForSingleObject(wintypes.HANDLE(handle), infinite)
        kernel.CloseHandle(wintypes.HANDLE(handle))
