"""Unpacking a downloaded zip archive without believing it."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from gantrain.errors import ConfigError

_CHUNK = 1 << 20
MAX_FILES = 1_000_000
_GROWTH, _SPARE = 10, 1 << 30  # pictures hardly shrink when packed: 10 times and 1 GiB are plenty


def unpack(archive: Path, folder: Path) -> None:
    """All files of `archive` in `folder`, which appears only when complete; no file leaves it.

    Raises:
        ConfigError: a damaged archive, or one with absolute or climbing paths, links, passwords,
            or more files or bytes than pictures can need.
        OSError: the disk refuses.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            limit = archive.stat().st_size * _GROWTH + _SPARE
            if fault := _fault(entries, limit):
                raise ConfigError(f"{archive} {fault}: it is not unpacked; fetch it elsewhere.")
            for entry in entries:
                limit = _write(file, entry, temporary, limit)
        temporary.mkdir(parents=True, exist_ok=True)  # of an archive without files
        os.replace(temporary, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"{archive} is no readable zip archive ({error}): remove it and fetch it anew."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fault(entries: list[zipfile.ZipInfo], limit: int) -> str:
    """Why the archive must not be unpacked, a phrase that follows its name; "": nothing."""
    if len(entries) > MAX_FILES:
        return f"holds {len(entries)} files"
    if (size := sum(entry.file_size for entry in entries)) > limit:
        return f"says to hold {size / 1e9:.1f} GB, far more than pictures of its size would"
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ":")[0]:
            return f"holds {entry.filename!r}, a path that leads out of its folder"
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            return f"holds {entry.filename!r}, a link or a device"
        if entry.flag_bits & 1:
            return "is locked by a password"
    return ""


def _write(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, limit: int) -> int:
    """The bytes that are left of `limit`: what an entry says of its size need not be true."""
    target = folder / entry.filename.replace("\\", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open(entry) as source, target.open("wb") as out:
        while chunk := source.read(_CHUNK):
            limit -= len(chunk)
            if limit < 0:
                raise ConfigError(
                    f"{file.filename} holds far more than it says: it is not unpacked; fetch it "
                    "elsewhere."
                )
            out.write(chunk)
    return limit
