"""Download a published zip archive once and unpack it safely into the cache folder."""

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
# An archive may unpack to 10 times its size plus 1 GiB: compressed images hardly shrink further.
_MAX_RATIO, _EXTRA_BYTES = 10, 1 << 30


@dataclass(frozen=True)
class RemoteArchive:
    """A published zip archive and the folder that it is unpacked into.

    Args:
        urls: tried in order.
        sha256: of the archive; None: not checked, and the folder's name contains a digest of the
            url, so that another url is another set.
        size: of the archive in bytes; None: not checked.
        cache: parent of the folder.
    """

    urls: tuple[str, ...]
    sha256: str | None
    size: int | None
    cache: Path

    @property
    def name(self) -> str:
        """Name of the unpacked folder."""
        stem = PurePosixPath(urlsplit(self.urls[0]).path).stem or "set"
        url_digest = hashlib.sha256(self.urls[0].encode()).hexdigest()[:8]
        return stem if self.sha256 else f"{stem}-{url_digest}"

    @property
    def archive(self) -> Path:
        """Path of the archive until it is unpacked; a file placed there by hand is used."""
        return self.cache / f"{self.name}.zip"

    def find(self) -> Path | None:
        """Return the unpacked folder with trainA/ in it, or None if there is none."""
        folder = self.cache / self.name
        if not folder.is_dir():
            return None
        inner = sorted(path for path in folder.iterdir() if (path / "trainA").is_dir())
        return inner[0] if inner and not (folder / "trainA").is_dir() else folder

    def get(self, log: Log) -> Path:
        """Return the unpacked folder; downloads and unpacks the archive if necessary.

        Raises:
            ConfigError: the archive cannot be downloaded, verified or unpacked.
        """
        if folder := self.find():
            return folder
        by_hand = (
            f"download {self.urls[0]} on another machine and put it at {self.archive}, or unpack "
            "it and give data.root=FOLDER."
        )
        try:
            with exclusive_download(self.cache / self.name, log):
                if self.find() is None:  # another process may have been faster
                    self._fetch(by_hand, log)
        except OSError as error:
            raise ConfigError(
                f"{self.cache} cannot be used ({error.strerror or error}): set data.cache_dir or "
                f"GANTRAIN_CACHE to a folder with enough space, or {by_hand}"
            ) from error
        folder = self.find()
        assert folder is not None
        return folder

    def _fetch(self, by_hand: str, log: Log) -> None:
        placed_by_hand = self.archive.is_file()
        checksum = f"sha256:{self.sha256}" if self.sha256 else None
        fetch(RemoteFile(self.urls, checksum, self.size), self.archive, log, by_hand)
        log(f"data: unpacking {self.archive}")
        unpack(self.archive, self.cache / self.name)
        if not placed_by_hand:
            self.archive.unlink()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip archive into a folder, which appears only when it is complete.

    Args:
        archive: the file, which is not trusted.
        folder: does not exist yet.

    Raises:
        ConfigError: the archive is damaged, or contains paths outside the folder, links, passwords,
            or more files or bytes than images can need.
        OSError: the disk is full or fails.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            max_bytes = archive.stat().st_size * _MAX_RATIO + _EXTRA_BYTES
            if fault := _fault(entries, max_bytes):
                raise ConfigError(
                    f"{archive} {fault}: it is not unpacked; get it from another source."
                )
            for entry in entries:
                max_bytes = _write(file, entry, temporary, max_bytes)
        temporary.mkdir(parents=True, exist_ok=True)  # an archive may have no files
        os.replace(temporary, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"{archive} is no readable zip archive ({error}): remove it and download it again."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fault(entries: list[zipfile.ZipInfo], max_bytes: int) -> str:
    """Return why the archive must not be unpacked, a phrase that follows its name, or ""."""
    if len(entries) > MAX_FILES:
        return f"holds {len(entries)} files"
    if (size := sum(entry.file_size for entry in entries)) > max_bytes:
        return f"claims to hold {size / 1e9:.1f} GB, far more than images in a file of its size"
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ":")[0]:
            return f"holds {entry.filename!r}, a path outside its folder"
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            return f"holds {entry.filename!r}, a link or a device"
        if entry.flag_bits & 1:
            return "is protected by a password"
    return ""


def _write(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, max_bytes: int) -> int:
    """Unpack an entry and return the rest of `max_bytes`; its stated size is not trusted."""
    target = folder / entry.filename.replace("\\", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open(entry) as source, target.open("wb") as out:
        while chunk := source.read(_CHUNK):
            max_bytes -= len(chunk)
            if max_bytes < 0:
                raise ConfigError(
                    f"{file.filename} holds far more than it claims: it is not unpacked; get it "
                    "from another source."
                )
            out.write(chunk)
    return max_bytes
