"""Files that are read in ranges, by several threads and processes: of this machine, or remote."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

_OPEN = 64  # local files kept open by a process: there may be thousands of shards


class ByteFile(Protocol):
    """One version of a file; `gantrain.io.remote.objects.RemoteObject` is another kind."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        ...

    @property
    def size(self) -> int:
        """Bytes of this version."""
        ...

    def identity(self) -> list[object]:
        """Return plain values that change with the content."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end` (exclusive), of those that there are.

        Raises:
            OSError: the file cannot be read, or is not the one that it was.
            ConfigError: likewise, of a remote one.
        """
        ...


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, as it was when `open_bytes` returned it.

    Args:
        path: absolute.
        size: in bytes.
        changed: time of the last change in nanoseconds.
    """

    path: str
    size: int
    changed: int

    def __str__(self) -> str:
        return self.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self.path)

    def identity(self) -> list[object]:
        """Return plain values that change with the content."""
        return [self.path, self.size, self.changed]

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end` (exclusive), of those that there are.

        Raises:
            OSError: the file cannot be read, or has changed.
        """
        return _open(self).read(start, end)


def open_bytes(path: Path) -> LocalFile:
    """Return the present version of a file.

    Raises:
        OSError: there is none.
    """
    status = path.stat()
    return LocalFile(str(path.absolute()), status.st_size, status.st_mtime_ns)


class _Open:
    """A descriptor, closed when nothing refers to it: another thread may still be reading."""

    def __init__(self, file: LocalFile) -> None:
        self._file = file
        self._descriptor = os.open(file.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, start: int, end: int) -> bytes:
        parts = []
        while start < end and (part := _read_at(self._descriptor, end - start, start)):
            parts.append(part)
            start += len(part)
        status = os.fstat(self._descriptor)  # after reading: it may be written to at any time
        if (status.st_size, status.st_mtime_ns) != (self._file.size, self._file.changed):
            raise OSError(f"{self._file} has changed since the start")
        return parts[0] if len(parts) == 1 else b"".join(parts)


_position = threading.Lock()  # of a descriptor, where systems cannot read without moving it


def _read_at(descriptor: int, count: int, start: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, start)
    with _position:  # Windows, which does not fork
        os.lseek(descriptor, start, os.SEEK_SET)
        return os.read(descriptor, count)


@lru_cache(maxsize=_OPEN)
def _open(file: LocalFile) -> _Open:
    return _Open(file)
