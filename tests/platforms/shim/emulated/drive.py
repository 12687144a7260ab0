"""Files below one folder as on a disk of Windows or macOS, by way of Python's audit events."""

import errno
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?", re.IGNORECASE)
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')
KERNEL = ("/proc", "/sys", "/dev/shm")  # only Linux has them
MAX_PATH = 260
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Drive:
    """The rules of a disk.

    kind: "windows" or "macos".
    top: the folder in which they hold.
    """

    def __init__(self, kind: str, top: str) -> None:
        self.is_windows = kind == "windows"
        self.top = os.path.realpath(top)
        self.record = f"{self.top}-broken-rules"
        self._own = threading.local()
        self._getsid = os.getsid
        self._session = os.getsid(0)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """See sys.addaudithook: an error that is raised here is raised by the operation."""
        check = _CHECKS.get(event)
        if check is None or getattr(self._own, "busy", False):
            return
        self._own.busy = True
        try:
            check(self, *args)
        finally:
            self._own.busy = False

    def refuse_kernel_files(self, path: str) -> None:
        if path.startswith(KERNEL):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def opening(self, path: Any, mode: str | None, flags: int) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.fsdecode(path)
        self.refuse_kernel_files(name)
        if place := self._below(name):
            self._check_name(place, is_new=bool(flags & WRITES))

    def making(self, path: Any, mode: int, dir_fd: int) -> None:
        if place := self._below(os.fsdecode(path), dir_fd):
            self._check_name(place, is_new=True)

    def renaming(self, source: Any, target: Any, source_fd: int, target_fd: int) -> None:
        if place := self._below(os.fsdecode(target), target_fd):
            self._check_name(place, is_new=True)
            self._refuse_if_open(place)
        if place := self._below(os.fsdecode(source), source_fd):
            self._refuse_if_open(place)

    def removing(self, path: Any, dir_fd: int) -> None:
        if place := self._below(os.fsdecode(path), dir_fd):
            self._refuse_if_open(place)

    def linking(self, source: Any, target: Any, dir_fd: int) -> None:
        if self.is_windows and self._below(os.fsdecode(target), dir_fd):
            raise OSError(errno.EPERM, "A required privilege is not held by the client", target)

    def _below(self, path: str, dir_fd: int = -1) -> str | None:
        """The absolute path, without following a link at its end; None: it is elsewhere."""
        if dir_fd >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
        folder, name = os.path.split(os.path.abspath(path))
        place = os.path.join(os.path.realpath(folder), name)
        return place if place.startswith(f"{self.top}/") else None

    def _check_name(self, place: str, is_new: bool) -> None:
        for part in place[len(self.top) + 1 :].split("/") if self.is_windows else ():
            if RESERVED.fullmatch(part) or FORBIDDEN.search(part) or part[-1] in ". ":
                self._broken(OSError(errno.EINVAL, "The file name is not valid", place))
        if self.is_windows and len(place) + len("C:") >= MAX_PATH:
            self._broken(FileNotFoundError(errno.ENOENT, "The path is too long", place))
        folder, name = os.path.split(place)
        if is_new and os.path.isdir(folder):
            same = [n for n in os.listdir(folder) if n.casefold() == name.casefold() and n != name]
            if same:
                self._broken(FileExistsError(errno.EEXIST, f"This is the file {same[0]}", place))

    def _refuse_if_open(self, place: str) -> None:
        if self.is_windows and (process := self._holder(place)):
            error = PermissionError(errno.EACCES, "Another process uses the file", place)
            # Of others, the operation may be repeated until they have closed it.
            if process == os.getpid():
                self._broken(error)
            raise error

    def _holder(self, place: str) -> int:
        """The number of a process of ours in which the file, or one below it, is open; else 0."""
        own = os.getpid()
        for number in [own, *(int(n) for n in os.listdir("/proc") if n.isdigit())]:
            try:
                if self._getsid(number) != self._session:
                    continue
                folder = f"/proc/{number}/fd"
                held = [_link(f"{folder}/{name}") for name in os.listdir(folder)]
                mapped = Path(f"/proc/{number}/maps").read_bytes().decode(errors="replace")
            except OSError:  # it has just ended, or closed one
                continue
            if any(path == place or path.startswith(f"{place}/") for path in held):
                return number
            if f" {place}\n" in mapped or f" {place}/" in mapped:
                return number
        return 0

    def _broken(self, error: OSError) -> None:
        # What is tried and answered by a sentence is no fault; a test looks at the notes.
        with open(self.record, "a", encoding="utf-8", newline="\n") as file:
            file.write(f"{' '.join(sys.argv[:3])}: {error}\n")
        raise error


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # it has just been closed, as the one that listed the folder
        return ""


_CHECKS = {
    "open": Drive.opening,
    "os.mkdir": Drive.making,
    "os.rename": Drive.renaming,
    "os.remove": Drive.removing,
    "os.rmdir": Drive.removing,
    "os.symlink": Drive.linking,
}
