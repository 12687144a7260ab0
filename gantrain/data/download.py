"""Fetching a published file once, whole and checked, into the cache folder."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from gantrain.errors import ConfigError
from gantrain.files import atomic_write

_CHUNK = 1 << 20
_LOG_SECONDS = 5.0
_PATIENCE = 60  # seconds without a byte

Log = Callable[[str], None]


def fetch(url: str, target: Path, md5: str | None, log: Log, by_hand: str) -> Path:
    """`target`, downloaded if it is not there; it appears only when complete and of checksum `md5`.

    Raises ConfigError, ending with `by_hand`: how to place the file without a network.
    """
    if target.is_file():
        return target
    log(f"data: downloading {url} to {target}")
    try:
        with atomic_write(target) as file:
            digest = _download(url, file, log, by_hand)
            if md5 is not None and digest != md5:
                raise ConfigError(
                    f"{url} has the checksum {digest} instead of {md5}: the download is damaged or "
                    f"the file is another one. Try again, or {by_hand}"
                )
    except OSError as error:
        raise ConfigError(
            f"{target.parent} cannot be written ({error.strerror or error}): set data.cache_dir to "
            f"a folder with room, or {by_hand}"
        ) from error
    return target


def _download(url: str, file: IO[bytes], log: Log, by_hand: str) -> str:
    """Copy what is at `url` into `file`; the MD5 of the content. Raises ConfigError."""
    digest, done, told = hashlib.md5(usedforsecurity=False), 0, time.monotonic()
    for chunk, total in _chunks(url, by_hand):
        file.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        if time.monotonic() - told > _LOG_SECONDS:
            told = time.monotonic()
            log(f"data: {done / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB"))
    return digest.hexdigest()


def _chunks(url: str, by_hand: str) -> Iterator[tuple[bytes, int]]:
    """(bytes, length of all or 0) to the end. Raises ConfigError when it does not come to that."""
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as source:
            total, done = int(source.headers.get("Content-Length") or 0), 0
            while chunk := source.read(_CHUNK):
                done += len(chunk)
                yield chunk, total
            if done < total:
                raise OSError(f"the connection broke after {done} of {total} bytes")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", "") or error or type(error).__name__
        raise ConfigError(f"{url} cannot be downloaded ({reason}): {by_hand}") from error
