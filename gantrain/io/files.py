"""Atomic writes, and checks of files."""

import errno
import json
import os
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

from gantrain.errors import ConfigError
from gantrain.io.plain_files import load_json

BUSY_SECONDS = 5.0  # that a file may be open elsewhere, before it is an error that it is


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that replaces `path` only when the block ends without an error.

    The bytes go to a temporary file in the same folder, which is fsynced and renamed. A process
    that is killed leaves the old file and a "*.tmp", which `remove_leftovers` deletes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb") as file:  # never through a link that somebody has put there
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace_file(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def replace_file(source: Path, target: Path) -> None:
    """Rename a file, replacing another one at once.

    Windows refuses that while anyone has one of them open, such as a virus scanner or another
    command that reads it: there it is tried again for `BUSY_SECONDS`.

    Args:
        source: the file.
        target: its new name in the same file system.

    Raises:
        OSError: it cannot be renamed.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def disk_full_reason(error: BaseException) -> str | None:
    """Return the system's message if `error` was caused by a full disk or a quota, else None."""
    # torch.save raises a RuntimeError from the OSError.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK_FULL:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return None


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _sync_folder(folder: Path) -> None:
    # The rename itself must survive a power failure; not every system can open a folder.
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def refuse_special_files(home: Path, *folders: str) -> None:
    """Check that what is written into a folder stays in it, and that reading from it ends.

    Args:
        home: the folder, such as a run directory.
        folders: its sub-folders that are written into.

    Raises:
        ConfigError: an entry is a symbolic link to a place outside, a pipe or a device.
    """
    entries = [*home.glob("*"), *home.glob(".*")]
    entries += [entry for name in folders for entry in (home / name).glob("*")]
    entries += [entry for name in folders for entry in (home / name).glob(".*")]
    for entry in entries:
        target = Path(os.path.realpath(entry))
        if entry.is_symlink() and not target.is_relative_to(os.path.realpath(home)):
            raise ConfigError(
                f"{entry} is a symbolic link to {os.readlink(entry)}, outside of {home}, and "
                "nothing is written there: replace it by what it leads to, or remove it."
            )
        if not (entry.is_file() or entry.is_dir()):
            raise ConfigError(f"{entry} is neither a file nor a folder: remove it.")


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of writers that were killed."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def is_intact(path: Path) -> bool:
    """Return whether a file of torch.save (a zip) is complete: all records match their CRC-32."""
    try:
        if not path.is_file():  # a pipe may never end
            return False
        with zipfile.ZipFile(path) as archive:
            # torch would read uninitialized memory for a record that is marked as a folder.
            # It never compresses either: a small file that expands to gigabytes is not ours.
            own = all(
                record.external_attr == 0 and record.compress_type == zipfile.ZIP_STORED
                for record in archive.infolist()
            )
            return own and archive.testzip() is None
    # RuntimeError, zlib.error: a flipped bit can mark a record as encrypted or compressed.
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError, zlib.error):
        return False


def kimg_label(nimg: int) -> str:
    """Return thousands of images as a part of file names that sorts: 12500 -> "000012.500"."""
    return f"{nimg // 1000:06d}.{nimg % 1000:03d}"


@contextmanager
def unwritable_as_config_error(setting: str, path: Path) -> Iterator[None]:
    """Raise a ConfigError that names the setting if a file cannot be written inside the block.

    Args:
        setting: the key that names the file.
        path: the file.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{setting}={path} cannot be written ({error.strerror or error}): give another file."
        ) from error


@contextmanager
def folder_as_config_error(path: Path) -> Iterator[None]:
    """Raise a ConfigError that names the folder if nothing can be written in it inside the block.

    Args:
        path: the folder of a run or a sweep, made up of `out` and `name`.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error}): give another out= or name=."
        ) from error


def open_to_append(path: Path) -> TextIO:
    """Open a text file to be added to, in UTF-8 and with the same ends of lines on every system."""
    return path.open("a", encoding="utf-8", newline="\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it is missing or damaged."""
    try:
        return load_json(path)
    except (OSError, ValueError):
        return None
