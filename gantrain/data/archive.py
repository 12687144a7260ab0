"""Images inside a zip archive, used like paths."""

import io
import os
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gantrain.errors import ConfigError

_MAX_BYTES = 1 << 30  # of one unpacked file: a small archive can expand without end


@dataclass(frozen=True)
class Member:
    """A file inside a zip archive; as text "photos.zip!/cats/1.png".

    Args:
        archive: the zip file.
        name: path of the file inside it.
    """

    archive: Path
    name: str

    def __str__(self) -> str:
        return f"{self.archive}!/{self.name}"

    def stat(self) -> os.stat_result:
        """Return the status of the archive."""
        return self.archive.stat()

    def absolute(self) -> "Member":
        """Return the same file with the archive's absolute path."""
        return Member(self.archive.absolute(), self.name)

    def size(self) -> int:
        """Return the unpacked size in bytes."""
        return _open(self.archive).size(self.name)

    def read(self) -> bytes:
        """Return the unpacked content.

        Raises:
            OSError: the file or the archive cannot be read, for whatever reason.
        """
        try:
            if self.size() > _MAX_BYTES:
                raise OSError(f"{self.size() / 1e9:.1f} GB unpacked are more than an image needs")
            return _open(self.archive).read(self.name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise OSError(f"the archive is damaged: {error}") from error
        except (KeyError, NotImplementedError, RuntimeError) as error:  # missing, or unsupported
            raise OSError(str(error)) from error


ImageFile = Path | Member


def open_image(file: ImageFile) -> Path | io.BytesIO:
    """Return an object that Pillow can open."""
    return io.BytesIO(file.read()) if isinstance(file, Member) else file


def file_size(file: ImageFile) -> int:
    """Return the size of an image file in bytes, unpacked."""
    return file.size() if isinstance(file, Member) else file.stat().st_size


def list_members(archive: Path) -> list[str]:
    """Return the names of all files in an archive, sorted as in a folder, without hidden ones.

    Raises:
        ConfigError: the file is no zip archive, or has a password.
    """
    try:
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
    return list(opened.names)


class _OpenArchive:
    """An archive kept open; several threads may read from it."""

    def __init__(self, path: Path) -> None:
        self.version = _version(path)
        self.file = zipfile.ZipFile(path)
        entries = [entry for entry in self.file.infolist() if not entry.is_dir()]
        self.is_encrypted = any(entry.flag_bits & 1 for entry in entries)
        # Some tools of Windows write backslashes.
        self._stored = {entry.filename.replace("\\", "/"): entry.filename for entry in entries}
        visible = {name for name in self._stored if not _is_hidden(PurePosixPath(name))}
        visible = {name for name in visible if not name.endswith("/")}
        self.names = sorted(visible, key=lambda name: name.split("/"))

    def size(self, name: str) -> int:
        return self.file.getinfo(self._stored[name]).file_size

    def read(self, name: str) -> bytes:
        with _lock:  # ZipFile counts its open members without a lock
            member = self.file.open(self._stored[name])
        try:
            return member.read()  # locks the file position itself; unpacking runs in parallel
        finally:
            with _lock:
                member.close()


_lock = threading.RLock()
_open_archives: dict[Path, _OpenArchive] = {}  # of this process


def _open(path: Path) -> _OpenArchive:
    with _lock:
        if path not in _open_archives:
            _open_archives[path] = _OpenArchive(path)
        return _open_archives[path]


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


def _is_hidden(path: PurePosixPath) -> bool:
    # Paths that lead out of the archive ("..", "/") count as hidden: results are named after these.
    return any(part.startswith((".", "/", "__MACOSX")) for part in path.parts)
