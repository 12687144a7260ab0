"""Files that are whole or not there."""

import errno
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary neighbour, fsync, rename: a reader sees the old file or the new one.

    A process killed on the way leaves the old file and a "*.tmp" that `remove_leftovers` clears.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def disk_full_reason(error: BaseException) -> str | None:
    """Why the disk took no more, where that is behind `error`: torch.save raises a RuntimeError
    over it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return None


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _sync_folder(folder: Path) -> None:
    # The rename itself must survive a power cut; not every system can open a folder.
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Delete what writers that were killed left behind."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def is_intact(path: Path) -> bool:
    """Whether a file of torch.save's (a zip) is complete: every record matches its CRC-32."""
    try:
        with zipfile.ZipFile(path) as archive:
            # torch leaves the memory of a record that is marked as a folder uninitialised.
            files = all(record.external_attr == 0 for record in archive.infolist())
            return files and archive.testzip() is None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError, zlib.error):
        return False  # the last two: one flipped bit can say "encrypted" or "compressed"


def kimg_label(nimg: int) -> str:
    """File-name part that sorts by images: 12500 -> "000012.500" (thousands of images)."""
    return f"{nimg // 1000:06d}.{nimg % 1000:03d}"


def write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """The content, None where there is no such file or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
