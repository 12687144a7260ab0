"""Fetching a published file once, whole and checked, into the cache folder."""

import hashlib
import http.client
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

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
    digest = hashlib.md5(usedforsecurity=False)
    try:
        if target.is_file():
            if md5 is not None:  # it may be from another url
                with target.open("rb") as file:
                    for chunk in iter(lambda: file.read(_CHUNK), b""):
                        digest.update(chunk)
                _check(
                    f"{target}, kept from an earlier start,", digest.hexdigest(), md5, "Remove it"
                )
            return target
        log(f"data: downloading {url} to {target}")
        with atomic_write(target) as file:
            for chunk in _told(_download(url, by_hand), log):
                digest.update(chunk)
                file.write(chunk)
            _check(url, digest.hexdigest(), md5, f"Try again, or {by_hand}")
    except OSError as error:
        raise ConfigError(
            f"{target.parent} cannot be used ({error.strerror or error}): set data.cache_dir to "
            f"a folder with room, or {by_hand}"
        ) from error
    return target


def _check(what: str, found: str, wanted: str | None, cure: str) -> None:
    if wanted is not None and found != wanted:
        raise ConfigError(
            f"{what} has the checksum {found} instead of {wanted}: it is damaged or another file. "
            f"{cure.rstrip('.')}."
        )


def _download(url: str, by_hand: str) -> Iterator[tuple[bytes, int]]:
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


def _told(chunks: Iterator[tuple[bytes, int]], log: Log) -> Iterator[bytes]:
    """The bytes of `chunks`; every few seconds a line says how far it is."""
    done, told = 0, time.monotonic()
    for chunk, total in chunks:
        yield chunk
        done += len(chunk)
        if time.monotonic() - told > _LOG_SECONDS:
            told = time.monotonic()
            log(f"data: {done / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB"))
