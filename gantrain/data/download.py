"""Fetching a published file once, whole and checked, into the cache folder."""

import contextlib
import hashlib
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from gantrain.errors import ConfigError

_CHUNK = 1 << 20
_LOG_SECONDS = 5.0


def fetch(
    url: str, target: Path, md5: str | None, log: Callable[[str], None], by_hand: str
) -> Path:
    """`target`, downloaded if it is not there; it appears only when complete and of checksum `md5`.

    Raises ConfigError, ending with `by_hand`: how to place the file without a network.
    """
    if target.is_file():
        return target
    log(f"data: downloading {url} to {target}")
    partial = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(suffix=".partial", dir=target.parent)
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=60) as source:
            digest = _copy(source, file, log)
        if md5 is not None and digest != md5:
            raise ConfigError(
                f"{url} has the checksum {digest} instead of {md5}: the download is damaged or the "
                f"file is another one. Try again, or {by_hand}"
            )
        os.replace(partial, target)
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise ConfigError(f"{url} cannot be downloaded ({error}): {by_hand}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    return target


def _copy(source: object, file: object, log: Callable[[str], None]) -> str:
    """Copy to the end; the MD5 of the content. Raises OSError when the connection breaks early."""
    total = int(source.headers.get("Content-Length") or 0)  # type: ignore[attr-defined]
    digest, done, told = hashlib.md5(usedforsecurity=False), 0, time.monotonic()
    while chunk := source.read(_CHUNK):  # type: ignore[attr-defined]
        file.write(chunk)  # type: ignore[attr-defined]
        digest.update(chunk)
        done += len(chunk)
        if time.monotonic() - told > _LOG_SECONDS:
            told = time.monotonic()
            log(f"data: {done / 1e6:.0f} of {total / 1e6:.0f} MB")
    if total and done < total:
        raise OSError(f"the connection broke after {done} of {total} bytes")
    return digest.hexdigest()
