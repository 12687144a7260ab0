"""Download a published zip archive once and unpack it into the cache folder, trusting nothing."""

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, exclusive_download, fetch

Log = Callable[[str], None]

_CHUNK = 1 << 20
MAX_FILES = 1_000_000
_GROWTH, _SPARE = 10, 1 << 30  # pictures hardly shrink when packed: 10 times and 1 GiB are plenty


@dataclass(frozen=True)
class RemoteArchive:
    """A zip archive at `urls` (tried in order), unpacked in a folder below `cache`.

    sha256, size: of the archive; None: not checked. Without a checksum the folder's name holds a
    hash of the url, so that another url is another set.
    """

    urls: tuple[str, ...]
    sha256: str | None
    size: int | None
    cache: Path

    @property
    def name(self) -> str:
        """The archive's, without its ending."""
        stem = PurePosixPath(urlsplit(self.urls[0]).path).stem or "set"
        mark = hashlib.sha256(self.urls[0].encode()).hexdigest()[:8]
        return stem if self.sha256 else f"{stem}-{mark}"

    @property
    def archive(self) -> Path:
        """Where the archive lies while it is not unpacked; a file placed by hand is used."""
        return self.cache / f"{self.name}.zip"

    def find(self) -> Path | None:
        """The unpacked set, a folder with trainA/ in it; None: not there yet."""
        folder = self.cache / self.name
        if not folder.is_dir():
            return None
        inner = sorted(path for path in folder.iterdir() if (path / "trainA").is_dir())
        return inner[0] if inner and not (folder / "trainA").is_dir() else folder

    def get(self, log: Log) -> Path:
        """The unpacked set, fetched if it is not there. Raises ConfigError."""
        if found := self.find():
            return found
        by_hand = (
            f"fetch {self.urls[0]} on another machine and put it at {self.archive}, or unpack it "
            "and give data.root=FOLDER."
        )
        try:
            with exclusive_download(self.cache / self.name, log):
                if self.find() is None:  # nobody else was faster
                    self._fetch(by_hand, log)
        except OSError as error:
            raise ConfigError(
                f"{self.cache} cannot be used ({error.strerror or error}): set data.cache_dir or "
                f"GANTRAIN_CACHE to a folder with room, or {by_hand}"
            ) from error
        found = self.find()
        assert found is not None
        return found

    def _fetch(self, by_hand: str, log: Log) -> None:
        placed = self.archive.is_file()
        checksum = f"sha256:{self.sha256}" if self.sha256 else None
        fetch(RemoteFile(self.urls, checksum, self.size), self.archive, log, by_hand)
        log(f"data: unpacking {self.archive}")
        unpack(self.archive, self.cache / self.name)
        if not placed:  # what somebody put there stays
            self.archive.unlink()


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
