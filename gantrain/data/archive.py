"""Pictures inside a zip archive, used like paths."""

import io
import os
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gantrain.errors import ConfigError

_MARK = ".zip!/"
_open = threading.local()  # zip files by (process, path): a handle serves one thread of one process


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

    def read(self) -> bytes:
        """The content. Raises OSError or zipfile.BadZipFile."""
        return _zip(self.archive).read(self.name)


Picture = Path | Member


def from_text(text: str) -> Picture:
    """The inverse of str()."""
    archive, mark, name = text.partition(_MARK)
    return Member(Path(f"{archive}.zip"), name) if mark else Path(text)


def opened(picture: Picture) -> Path | io.BytesIO:
    """What Pillow can open."""
    return io.BytesIO(picture.read()) if isinstance(picture, Member) else picture


def members(archive: Path) -> list[str]:
    """The names of all files in it, sorted, without hidden ones. Raises ConfigError."""
    try:
        names = _zip(archive).namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"data.root={archive} is no readable zip archive ({error}).") from error
    return sorted(
        name
        for name in names
        if not name.endswith("/")
        and not any(p.startswith((".", "__MACOSX")) for p in PurePosixPath(name).parts)
    )


def _zip(path: Path) -> zipfile.ZipFile:
    if getattr(_open, "process", None) != os.getpid():  # a forked worker shares file positions
        _open.process, _open.files = os.getpid(), {}
    if path not in _open.files:
        _open.files[path] = zipfile.ZipFile(path)
    return _open.files[path]
