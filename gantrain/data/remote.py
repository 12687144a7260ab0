"""A published archive that becomes an unpacked set in the cache folder, once for all."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from gantrain.data.unpack import unpack
from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, exclusive_download, fetch

Log = Callable[[str], None]


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
