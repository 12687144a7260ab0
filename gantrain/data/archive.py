"""Images inside archives (a zip, tars, Arrow files) or a remote folder, used like paths."""

import io
import os
import threading
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from gantrain.data.arrow_rows import ArrowRows
from gantrain.data.members import Members
from gantrain.data.shards import Shards
from gantrain.errors import ConfigError
from gantrain.io.remote.objects import RemoteFolder, RemoteObject

# Zip archives, tar archives, rows of Arrow files, and a folder that is listed only once
Archive = Path | RemoteObject | RemoteFolder | Shards | ArrowRows

_MAX_BYTES = 1 << 30  # of one unpacked file: a small archive can expand without end
_HEADER_BYTES = 30  # of a member, without its name


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive or a remote folder; as text "photos.zip!/cats/1.png".

    Args:
        archive: the zip file, the tar archives, the rows, or the folder.
        name: path of the file inside it.
    """

    archive: Archive
    name: str

    def __str__(self) -> str:
        return members_of(self.archive).title(self.name)

    @property
    def is_remote(self) -> bool:
        """Whether it comes over a network."""
        return members_of(self.archive).is_remote

    def identity(self) -> list[object]:
        """Return plain values that change with the content."""
        return members_of(self.archive).member_identity(self.name)

    def size(self) -> int:
        """Return the unpacked size in bytes."""
        return members_of(self.archive).size(self.name)

    def read(self) -> bytes:
        """Return the unpacked content.

        Raises:
            OSError: the file or the archive cannot be read, for whatever reason.
            ConfigError: it is remote, and has changed or cannot be reached.
        """
        members = members_of(self.archive)
        try:
            if (size := members.size(self.name)) > _MAX_BYTES:
                raise OSError(f"{size / 1e9:.1f} GB unpacked are more than an image needs")
            return members.read(self.name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise OSError(f"the archive is damaged: {error}") from error
        except (KeyError, NotImplementedError, RuntimeError) as error:  # missing, or unsupported
            raise OSError(str(error)) from error


ImageFile = Path | Member


def members_of(archive: Archive) -> Members:
    """Return what tells the files in an archive, or below a remote folder."""
    if isinstance(archive, Members):
        return archive
    return _Below(archive) if isinstance(archive, RemoteFolder) else _Zip(archive)


def open_image(file: ImageFile) -> Path | io.BytesIO:
    """Return an object that Pillow can open."""
    return io.BytesIO(file.read()) if isinstance(file, Member) else file


def file_size(file: ImageFile) -> int:
    """Return the size of an image file in bytes, unpacked."""
    return file.size() if isinstance(file, Member) else file.stat().st_size


def list_members(archive: Archive, prefix: str = "") -> list[str]:
    """Return the names of all files in an archive, sorted as in a folder, without hidden ones.

    Args:
        archive: a zip archive, tar archives, rows, or a remote folder.
        prefix: path of a folder in it, with a slash at the end: names are relative to it.

    Raises:
        ConfigError: an archive cannot be read, or has a password.
    """
    return list(members_of(archive).names_below(prefix))


@dataclass(frozen=True)
class _Zip(Members):
    """The files of a zip archive."""

    archive: Path | RemoteObject

    @property
    def is_remote(self) -> bool:
        return isinstance(self.archive, RemoteObject)

    def names_below(self, prefix: str) -> Iterable[str]:
        return _relative(_names_in_zip(self.archive), prefix)

    def holds(self, name: str) -> bool:
        return name in _names_in_zip(self.archive)

    def title(self, name: str) -> str:
        return f"{self.archive}!/{name}"

    def member_identity(self, name: str) -> list[object]:
        if isinstance(self.archive, RemoteObject):
            return [self.title(name), *self.archive.identity()[1:]]
        status = self.archive.stat()
        title = _Zip(self.archive.absolute()).title(name)
        return [title, status.st_size, status.st_mtime_ns]

    def size(self, name: str) -> int:
        return _open(self.archive).size(name)

    def read(self, name: str) -> bytes:
        return _open(self.archive).read(name)


@dataclass(frozen=True)
class _Below(Members):
    """The files below a remote folder."""

    folder: RemoteFolder

    @property
    def is_remote(self) -> bool:
        return True

    def names_below(self, prefix: str) -> Iterable[str]:
        return _relative(_names_in(self.folder), prefix)

    def holds(self, name: str) -> bool:
        return name in self.folder.files

    def title(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def member_identity(self, name: str) -> list[object]:
        return self.folder.file(name).identity()

    def size(self, name: str) -> int:
        return self.folder.file(name).size

    def read(self, name: str) -> bytes:
        file = self.folder.file(name)
        return file.read(0, file.size)


def _relative(names: Iterable[str], prefix: str) -> Iterable[str]:
    return (name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _names_in_zip(archive: Path | RemoteObject) -> list[str]:
    try:
        if isinstance(archive, Path):
            _close_if_changed(archive)
        opened = _open(archive)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ConfigError(
            f"data.root={archive} is no readable zip archive ({error}): download or pack it again, "
            "or give the unpacked folder."
        ) from error
    if opened.is_encrypted:
        raise ConfigError(
            f"data.root={archive} is protected by a password: give the unpacked folder."
        )
    return opened.names


class _OpenArchive:
    """An archive kept open; several threads may read from it."""

    def __init__(self, archive: Path | RemoteObject) -> None:
        self.remote = archive if isinstance(archive, RemoteObject) else None
        self.version = _version(archive) if isinstance(archive, Path) else None
        source: Any = archive.open() if isinstance(archive, RemoteObject) else archive
        self.file = zipfile.ZipFile(source)
        entries = [entry for entry in self.file.infolist() if not entry.is_dir()]
        self.is_encrypted = any(entry.flag_bits & 1 for entry in entries)
        # Some tools of Windows write backslashes.
        self._stored = {entry.filename.replace("\\", "/"): entry.filename for entry in entries}
        self.names = _in_order(name for name in self._stored if not name.endswith("/"))

    def size(self, name: str) -> int:
        return self.file.getinfo(self._stored[name]).file_size

    def read(self, name: str) -> bytes:
        if self.remote:  # threads fetch in parallel, and then take turns to read what is here
            entry = self.file.getinfo(self._stored[name])
            begin = entry.header_offset
            header = _HEADER_BYTES + len(entry.filename.encode()) + len(entry.extra)
            self.remote.fetch(begin, begin + header + entry.compress_size)
        with _lock:  # ZipFile counts its open members without a lock
            member = self.file.open(self._stored[name])
        try:
            return member.read()  # locks the file position itself; unpacking runs in parallel
        finally:
            with _lock:
                member.close()


_lock = threading.RLock()
_open_archives: dict[Path | RemoteObject, _OpenArchive] = {}  # of this process


def _open(archive: Path | RemoteObject) -> _OpenArchive:
    with _lock:
        if archive not in _open_archives:
            _open_archives[archive] = _OpenArchive(archive)
        return _open_archives[archive]


def _close_if_changed(path: Path) -> None:
    with _lock:
        if path in _open_archives and _open_archives[path].version != _version(path):
            del _open_archives[path]


def _reset_after_fork() -> None:
    """Open archives anew: file positions are shared with the parent, and its lock may be held."""
    global _lock
    _lock = threading.RLock()
    _open_archives.clear()


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_reset_after_fork)


def _version(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _names_in(folder: RemoteFolder) -> list[str]:
    return _in_order(folder.files)  # of a million names this takes seconds


def _in_order(names: Iterable[str]) -> list[str]:
    visible = {name for name in names if not _is_hidden(PurePosixPath(name))}
    return sorted(visible, key=lambda name: name.split("/"))


def _is_hidden(path: PurePosixPath) -> bool:
    # Paths that lead out of the archive ("..", "/") count as hidden: results are named after these.
    return any(part.startswith((".", "/", "__MACOSX")) for part in path.parts)
