"""Download a published archive once and unpack it safely into the cache folder."""

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, exclusive_download, fetch

Log = Callable[[str], None]

_CHUNK = 1 << 20
_UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError),
    *(NotImplementedError, RuntimeError),
)
MAX_FILES = 1_000_000
# An archive may unpack to 10 times its size plus 1 GiB: compressed images hardly shrink further.
_MAX_RATIO, _EXTRA_BYTES = 10, 1 << 30
_TRAINING = ("trainA", "train")  # folders that show where a set begins


@dataclass(frozen=True)
class RemoteArchive:
    """A published archive, .zip or .tar.gz, and the folder that it is unpacked into.

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
        file = PurePosixPath(urlsplit(self.urls[0]).path).name
        stem = PurePosixPath(file.replace(".tar.", ".")).stem or "set"
        url_digest = hashlib.sha256(self.urls[0].encode()).hexdigest()[:8]
        return stem if self.sha256 else f"{stem}-{url_digest}"

    @property
    def archive(self) -> Path:
        """Path of the archive until it is unpacked; a file placed there by hand is used."""
        return self.cache / f"{self.name}{self._suffix}"

    @property
    def _suffix(self) -> str:
        is_tar = urlsplit(self.urls[0]).path.endswith((".tar.gz", ".tgz"))
        return ".tar.gz" if is_tar else ".zip"

    def find(self) -> Path | None:
        """Return the unpacked folder with trainA/ or train/ in it, or None if there is none."""
        folder = self.cache / self.name
        if not folder.is_dir():
            return None
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and _is_top(path))
        return inner[0] if inner and not _is_top(folder) else folder

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


def _is_top(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in _TRAINING)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder, which appears only when it is complete.

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
        max_bytes = archive.stat().st_size * _MAX_RATIO + _EXTRA_BYTES
        is_tar = archive.name.endswith(".tar.gz")
        (_unpack_tar if is_tar else _unpack_zip)(archive, temporary, max_bytes)
        temporary.mkdir(parents=True, exist_ok=True)  # an archive may have no files
        os.replace(temporary, folder)
    except (*_UNREADABLE, gzip.BadGzipFile) as error:
        kind = "tar.gz" if archive.name.endswith(".tar.gz") else "zip"
        raise ConfigError(
            f"{archive} is no readable {kind} archive ({error}): remove it and download it again."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack_zip(archive: Path, folder: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as file:
        entries = [entry for entry in file.infolist() if not entry.is_dir()]
        if fault := _fault(entries, max_bytes):
            raise _refused(archive, fault)
        for entry in entries:
            with file.open(entry) as source:
                max_bytes = _write(archive, entry.filename, source, folder, max_bytes)


def _unpack_tar(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpack while reading, since a compressed tar has no list of its files; nothing is trusted."""
    with tarfile.open(archive, "r|gz") as file:
        for count, entry in enumerate(file, 1):
            if count > MAX_FILES:
                raise _refused(archive, f"holds more than {MAX_FILES} files")
            if fault := _path_fault(entry.name):
                raise _refused(archive, fault)
            if not (entry.isfile() or entry.isdir()):
                raise _refused(archive, f"holds {entry.name!r}, a link or a device")
            if entry.isfile() and (source := file.extractfile(entry)):
                max_bytes = _write(archive, entry.name, source, folder, max_bytes)


def _refused(archive: Path, fault: str) -> ConfigError:
    return ConfigError(f"{archive} {fault}: it is not unpacked; get it from another source.")


def _path_fault(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ":")[0]:
        return f"holds {name!r}, a path outside its folder"
    return ""


def _fault(entries: list[zipfile.ZipInfo], max_bytes: int) -> str:
    """Return why the archive must not be unpacked, a phrase that follows its name, or ""."""
    if len(entries) > MAX_FILES:
        return f"holds {len(entries)} files"
    if (size := sum(entry.file_size for entry in entries)) > max_bytes:
        return f"claims to hold {size / 1e9:.1f} GB, far more than images in a file of its size"
    for entry in entries:
        if fault := _path_fault(entry.filename):
            return fault
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            return f"holds {entry.filename!r}, a link or a device"
        if entry.flag_bits & 1:
            return "is protected by a password"
    return ""


def _write(archive: Path, name: str, source: IO[bytes], folder: Path, max_bytes: int) -> int:
    """Unpack an entry and return the rest of `max_bytes`; its stated size is not trusted."""
    target = folder / name.replace("\\", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        while chunk := source.read(_CHUNK):
            max_bytes -= len(chunk)
            if max_bytes < 0:
                raise _refused(archive, "holds far more than it claims")
            out.write(chunk)
    return max_bytes
