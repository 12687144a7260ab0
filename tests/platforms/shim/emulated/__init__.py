"""Windows or macOS as far as Linux can play them, for a process and all that it starts.

What the whole process lacks: modules, functions of `os`, fork (start methods), Linux's file systems
of the kernel. What only gantrain sees, because the standard library and torch would look for
Windows' own modules: `sys.platform`, `os.name`, `platform.system()`, signals, `msvcrt`, and
`ctypes.WinDLL`. Below the folder GANTRAIN_TEST_DRIVE files behave as there. Every rule that is
broken is also noted in the file `broken-rules` beside that folder, whatever becomes of the error.
"""

import builtins
import io
import multiprocessing
import multiprocessing.context
import os
import shutil
import sys
from multiprocessing.context import BaseContext
from typing import Any

from emulated.drive import Drive
from emulated.view import View

UNIX_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline")
UNIX_FUNCTIONS = [
    "fork", "forkpty", "killpg", "setsid", "setpgid", "getpgid", "getpgrp", "getsid",
    "getgid", "getegid", "getgroups", "sched_getaffinity", "sched_setaffinity",
    "posix_fadvise", "posix_fallocate", "pread", "pwrite", "preadv", "pwritev", "statvfs",
    "fstatvfs", "getloadavg", "nice", "chown", "fchown", "lchown", "fchmod", "chroot", "mkfifo",
    "mknod", "confstr", "sendfile", "setpriority", "getpriority", "sync",
]  # fmt: skip
LINUX_FUNCTIONS = ("sched_getaffinity", "sched_setaffinity", "posix_fadvise", "posix_fallocate")


def install(kind: str, drive: str) -> None:
    """Make this process look as on `kind` ("windows" or "macos"), and files below `drive`."""
    assert kind in ("windows", "macos"), kind
    rules = Drive(kind, drive)
    view = View(kind)
    _spawn_only(kind)
    _free_space(kind, rules)
    if kind == "windows":
        for name in UNIX_MODULES:
            sys.modules[name] = None  # type: ignore[assignment]
        _code_page()
    for name in UNIX_FUNCTIONS if kind == "windows" else LINUX_FUNCTIONS:
        if hasattr(os, name):
            delattr(os, name)
    sys.addaudithook(rules.audit)
    view.install()


def _spawn_only(kind: str) -> None:
    """Windows has no other start method; macOS has fork, after which libraries may crash."""
    context = multiprocessing.context
    default: Any = context._default_context  # type: ignore[attr-defined]
    contexts: dict[str, BaseContext] = context._concrete_contexts  # type: ignore[attr-defined]
    default._default_context = contexts["spawn"]
    default._actual_context = None
    if kind == "windows":
        names = ["spawn"]
        for name in ("fork", "forkserver"):
            contexts.pop(name, None)
        multiprocessing.get_all_start_methods = lambda: names
    else:
        contexts["fork"].Process = _Crash  # type: ignore[attr-defined]


class _Crash:
    def __init__(self, *_: Any, **__: Any) -> None:
        raise AssertionError("a process was forked")


def _free_space(kind: str, rules: Drive) -> None:
    """`shutil.disk_usage` works everywhere, but not for places that only Linux has."""
    measure = shutil.disk_usage
    statvfs = os.statvfs

    def disk_usage(path: Any) -> Any:
        rules.refuse_kernel_files(os.fspath(path))
        found = statvfs(path)
        total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        return measure_type(total, total - free, free)

    measure_type = type(measure("/"))
    shutil.disk_usage = disk_usage


def _code_page() -> None:
    """Text without an encoding is in the code page, and its lines end as Windows has it."""
    plain = io.open

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if "b" not in mode:
            if encoding in (None, "locale"):
                encoding = "cp1252"
                _note_missing_encoding(file)
            if newline is None and "r" not in mode:
                newline = "\r\n"
        return plain(file, mode, buffering, encoding, errors, newline, closefd, opener)

    io.open = builtins.open = opened  # type: ignore[assignment]


def _note_missing_encoding(file: Any) -> None:
    frame = sys._getframe(2)
    caller = "pathlib"
    while frame and caller.partition(".")[0] == "pathlib":
        caller = frame.f_globals.get("__name__", "")
        frame = frame.f_back  # type: ignore[assignment]
    if caller.partition(".")[0] == "gantrain":
        raise AssertionError(f"{caller} opens {file} without an encoding")
