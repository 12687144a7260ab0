"""Windows' own functions, as documented, on top of Linux'."""

import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import struct
import subprocess
from collections.abc import Callable
from types import ModuleType
from typing import Any

SIGNALS = ("SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN")
OPEN_FLAGS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_APPEND", "O_CREAT", "O_EXCL", "O_TRUNC")
# Number 21 is SIGBREAK there and SIGTTIN here, which nothing else uses: so it can be sent.
SIGBREAK = signal.SIGTTIN
CTRL_C_EVENT, CTRL_BREAK_EVENT = 0, 1
CREATE_NEW_PROCESS_GROUP = 0x200
UNLOCKABLE = 2**30  # from here on lie bytes of a file that are not content
_killpg, _getppid, _kill, _getpid = os.killpg, os.getppid, os.kill, os.getpid
_set_handler, _fork_free_popen, _run = signal.signal, subprocess.Popen, subprocess.run
_pidfd_open = os.pidfd_open


def kill(process: int, number: int) -> None:
    """os.kill: anything but events of the console ends the process at once."""
    if number in (CTRL_C_EVENT, CTRL_BREAK_EVENT):
        _killpg(process, signal.SIGINT if number == CTRL_C_EVENT else SIGBREAK)
    else:
        _kill(process, 9)


def getppid() -> Callable[[], int]:
    """os.getppid: it stays the same when the parent has ended."""
    parent = _getppid()
    return lambda: parent


def own_signals() -> dict[str, Any]:
    """signal.signal takes few signals; those of the console are events."""
    valid = {getattr(signal, name) for name in SIGNALS[:6]} | {SIGBREAK}

    def set_handler(number: int, handler: Any) -> Any:
        if number not in valid:
            raise ValueError(f"invalid signal value: {number}")
        return _set_handler(number, handler)

    events = {"CTRL_C_EVENT": CTRL_C_EVENT, "CTRL_BREAK_EVENT": CTRL_BREAK_EVENT}
    return {"signal": set_handler, "SIGBREAK": SIGBREAK, **events}


class Popen(subprocess.Popen[Any]):
    """subprocess.Popen: groups by creation flags; it can send events of the console only."""

    def __init__(self, *args: Any, creationflags: int = 0, **options: Any) -> None:
        options.pop("start_new_session", None)  # has no effect there
        group = {"process_group": 0} if creationflags & CREATE_NEW_PROCESS_GROUP else {}
        super().__init__(*args, **group, **options)

    def send_signal(self, sig: int) -> None:
        if self.poll() is not None:
            return
        if sig == signal.SIGTERM:
            _kill(self.pid, 9)
        elif sig in (CTRL_C_EVENT, CTRL_BREAK_EVENT):
            kill(self.pid, sig)
        else:
            raise ValueError(f"Unsupported signal: {sig}")


def own_subprocess() -> dict[str, Any]:
    """Popen, the flag for groups, and the program taskkill."""

    def run(command: Any, **options: Any) -> Any:
        if command[:3] == ["taskkill", "/F", "/T"]:
            _killpg(int(command[-1]), 9)
            return subprocess.CompletedProcess(command, 0)
        return _run(command, **options)

    return {"Popen": Popen, "run": run, "CREATE_NEW_PROCESS_GROUP": CREATE_NEW_PROCESS_GROUP}


def console_runtime() -> ModuleType:
    """Module msvcrt with `locking`: it is exclusive, for one open file, and about bytes."""
    module = ModuleType("msvcrt")
    module.LK_UNLCK, module.LK_LOCK, module.LK_NBLCK = 0, 1, 2  # type: ignore[attr-defined]
    module.locking = _locking  # type: ignore[attr-defined]
    return module


def _locking(descriptor: int, mode: int, count: int) -> None:
    start = os.lseek(descriptor, 0, os.SEEK_CUR)
    # A locked byte can be read by nobody else there, so nobody may lock one with content.
    assert start >= UNLOCKABLE, f"byte {start} is locked, and others may want to read it"
    # Locks of Linux' open files (fcntl.F_OFD_SETLK) are, like these, not of a whole process.
    kind = fcntl.F_UNLCK if mode == 0 else fcntl.F_WRLCK
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, count, 0)
    try:
        fcntl.fcntl(descriptor, getattr(fcntl, "F_OFD_SETLK", 37), request)
    except OSError as error:
        if error.errno == errno.EBADF:  # F_WRLCK wants a file opened for writing; LockFile does not
            return _locking_read_only(descriptor, mode)
        raise PermissionError(errno.EACCES, "Permission denied") from None


def _locking_read_only(descriptor: int, mode: int) -> None:
    writable = os.open(os.readlink(f"/proc/self/fd/{descriptor}"), os.O_RDWR)
    try:
        os.lseek(writable, UNLOCKABLE, os.SEEK_SET)
        _locking(writable, mode, 1)
    finally:
        os.close(writable)  # and the lock is gone, as after the check that asked for it


class Library:
    """ctypes.WinDLL("kernel32"): the functions that gantrain calls."""

    def __init__(self, name: str) -> None:
        assert name == "kernel32"
        self.OpenProcess = _Function(self._open_process)
        self.WaitForSingleObject = _Function(self._wait)
        self.CloseHandle = _Function(lambda handle: os.close(handle.value))
        self.GetCurrentProcess = _Function(lambda: 2**64 - 1)  # a pseudo handle
        self.K32GetProcessMemoryInfo = _Function(self._counters)
        self.GlobalMemoryStatusEx = _Function(self._status)

    def _open_process(self, access: int, inherits: bool, process: int) -> int | None:
        assert access == 0x00100000  # SYNCHRONIZE
        try:
            return _pidfd_open(process)
        except ProcessLookupError:
            return None

    def _wait(self, handle: Any, milliseconds: int) -> int:
        assert milliseconds == 0xFFFFFFFF  # INFINITE
        select.select([handle.value], [], [])
        return 0

    def _counters(self, process: Any, counters: Any, size: int) -> int:
        assert process.value == 2**64 - 1 and size == ctypes.sizeof(counters._obj) == 72
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        ctypes.c_size_t.from_buffer(counters._obj, 8).value = used  # PeakWorkingSetSize
        return 1

    def _status(self, status: Any) -> int:
        size = ctypes.c_uint32.from_buffer(status._obj, 0).value
        assert size == ctypes.sizeof(status._obj) == 64
        ctypes.c_uint64.from_buffer(status._obj, 16).value = 3_000_000_000  # ullAvailPhys
        return 1


class _Function:
    """A foreign function: Python's plain integers would be cut to 32 bits without a type."""

    restype: Any = ctypes.c_int

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        result = self._function(*args)
        return result if self.restype is not ctypes.c_int or not result else int(result)
