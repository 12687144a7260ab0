"""Pictures inside a zip archive, used like paths."""

import io
import os
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gantrain.errors import ConfigError

_LIMIT = 1 << 30  # bytes of one unpacked file: a small archive may claim to hold endlessly many


@dataclass(frozen=True)
class Member:
    """`name` inside `archive`; as text "photos.zip!/cats/1.png"."""

    archive: Path
    name: str

    def __str__(self) -> str:
        return f"{self.archive}!/{self.name}"

    def stat(self) -> os.stat_result:
        """Of the archive."""
        return self.archive.stat()

    def absolute(self) -> "Member":
        """With the archive's absolute path."""
        return Member(self.archive.absolute(), self.name)

    def size(self) -> int:
        """Bytes, unpacked."""
        return _zip(self.archive).file.getinfo(self.name).file_size

    def read(self) -> bytes:
        """The content. Raises OSError, whatever is wrong with the archive."""
        try:
            if self.size() > _LIMIT:
                raise OSError(f"{self.size() / 1e9:.1f} GB unpacked are more than a picture takes")
            return _zip(self.archive).read(self.name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise OSError(f"the archive is damaged: {error}") from error
        except (KeyError, NotImplementedError, RuntimeError) as error:  # gone, unknown packing
            raise OSError(str(error)) from error


Picture = Path | Member


def open_image(picture: Picture) -> Path | io.BytesIO:
    """What Pillow can open."""
    return io.BytesIO(picture.read()) if isinstance(picture, Member) else picture


def file_size(picture: Picture) -> int:
    """Bytes of the picture's file, unpacked."""
    return picture.size() if isinstance(picture, Member) else picture.stat().st_size


def members(archive: Path) -> list[str]:
    """The names of all files in it, sorted as in a folder, without hidden ones.

    Raises ConfigError: no zip archive, or one with a password.
    """
    cure = "download or pack it again, or give the unpacked folder."
    try:
        _forget_changed(archive)
        found = _zip(archive)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ConfigError(
            f"data.root={archive} is no readable zip archive ({error}): {cure}"
        ) from error
    if found.locked:
        raise ConfigError(f"data.root={archive} is locked by a password: give the unpacked folder.")
    return list(found.names)


class _Zip:
    """An archive kept open; its methods may be called by several threads."""

    def __init__(self, path: Path) -> None:
        self.stamp = _stamp(path)
        self.file = zipfile.ZipFile(path)
        entries = [entry for entry in self.file.infolist() if not entry.is_dir()]
        self.locked = any(entry.flag_bits & 1 for entry in entries)
        shown = {e.filename for e in entries if not _is_hidden(PurePosixPath(e.filename))}
        self.names = sorted(shown, key=lambda name: name.split("/"))

    def read(self, name: str) -> bytes:
        with _lock:  # what is open is counted without a lock of its own
            member = self.file.open(name)
        try:
            return member.read()  # locks the file position, and unpacks outside of the lock
        finally:
            with _lock:
                member.close()


_lock = threading.RLock()
_kept: dict[Path, _Zip] = {}  # of this process


def _zip(path: Path) -> _Zip:
    with _lock:
        if path not in _kept:
            _kept[path] = _Zip(path)
        return _kept[path]


def _forget_changed(path: Path) -> None:
    with _lock:
        if path in _kept and _kept[path].stamp != _stamp(path):
            del _kept[path]


def _forget_all() -> None:
    """In a forked process: it would share its parent's file positions, and perhaps a held lock."""
    global _lock
    _lock = threading.RLock()
    _kept.clear()


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_forget_all)


def _stamp(path: Path) -> tuple[int, int, int]:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _is_hidden(path: PurePosixPath) -> bool:
    # Also what leads out of the archive ("..", "/"): names of results are made from these.
    return any(part.startswith((".", "/", "__MACOSX")) for part in path.parts)
