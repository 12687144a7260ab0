"""Download published files once: resumable, verified, shared between processes."""

import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError
from gantrain.io import locks
from gantrain.io.files import replace_file

_CHUNK = 1 << 20
_LOG_SECONDS = 5.0
_TIMEOUT = 60  # seconds without a byte
_PAUSES = (1.0, 4.0)  # seconds before the second and third attempt without progress
# No compression: ranges count bytes of the file itself.
_HEADERS = {"User-Agent": "gantrain", "Accept-Encoding": "identity"}

Log = Callable[[str], None]


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Args:
        urls: tried in order.
        checksum: "md5:..." or "sha256:...", hexadecimal, all or only the first digits; None:
            unknown.
        size: bytes; None: unknown.
    """

    urls: Sequence[str]
    checksum: str | None = None
    size: int | None = None


class _Incomplete(Exception):
    """A request that broke off or failed; another attempt may succeed."""


class _Refused(Exception):
    """A final answer of the server: another attempt would not change it."""


_NETWORK_ERRORS = (OSError, http.client.HTTPException, ValueError)


def fetch(remote: RemoteFile, target: Path, log: Log, by_hand: str) -> Path:
    """Download a file unless it exists already.

    `target` appears only when it is complete and verified. Until then the bytes are in
    `<target>.partial`, and a later start resumes from them. Processes that need the same file wait
    for the one that downloads it.

    Args:
        remote: the file.
        target: where to put it.
        log: receives progress messages.
        by_hand: how to get the file without a network, the end of a sentence for errors.

    Returns:
        `target`.

    Raises:
        ConfigError: the file cannot be downloaded, verified or stored.
    """
    try:
        if target.is_file():
            _verify(target, f"{target}, kept from an earlier start,", remote, "remove it")
            return target
        with exclusive_download(target, log):
            if target.is_file():
                return target
            _require_space(target, remote.size)
            _fetch(remote, target, log, by_hand)
    except OSError as error:
        raise ConfigError(
            f"{target.parent} cannot be used ({error.strerror or error}): set data.cache_dir or "
            f"GANTRAIN_CACHE to a folder with enough space, or {by_hand}"
        ) from error
    return target


@contextmanager
def exclusive_download(target: Path, log: Log) -> Iterator[None]:
    """Hold the lock on `target`; other processes wait here until it is released."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    logged = False
    while owner := locks.acquire(lock):
        if not logged:
            log(f"data: waiting for {target.name}, which {owner} is downloading")
            logged = True
        time.sleep(0.2)
    try:
        yield
    finally:
        locks.release(lock)


def _fetch(remote: RemoteFile, target: Path, log: Log, by_hand: str) -> None:
    reasons: list[str] = []
    partial = _Partial(target)
    for url in remote.urls:
        # A file of this machine would be copied without a word, a device without an end.
        if not url.lower().startswith(("http://", "https://")):
            reasons.append(f"{url} cannot be downloaded (no http:// or https:// address)")
            continue
        log(f"data: downloading {url} to {target}")
        try:
            resumed = _download(url, partial, remote, log)
            if resumed and not _is_valid(partial.path, remote):
                log("data: the parts do not fit together; downloading the file again")
                partial.discard()
                _download(url, partial, remote, log)
        except _Incomplete as error:
            reasons.append(f"{url} cannot be downloaded ({error})")
            continue
        try:
            _verify(partial.path, url, remote, f"try again, or {by_hand}")
        except ConfigError:
            partial.discard()
            raise
        partial.complete()
        return
    message = f"{'; '.join(reasons)}: {by_hand}"
    if size := partial.size():
        message += f" The {size / 1e6:.1f} MB received are kept; the next start resumes from them."
    raise ConfigError(message)


class _Partial:
    """`<target>.partial`, with a note of the url and the version it was downloaded from."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.partial")
        self._note = target.with_name(f"{target.name}.partial.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str:
        """Return the server's ETag or date of the bytes; "": unknown, or from another url."""
        try:
            note = json.loads(self._note.read_text("utf-8"))
            return str(note["version"]) if note["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""

    def begin(self, url: str, version: str) -> None:
        self.path.write_bytes(b"")
        self._note.write_bytes(json.dumps({"url": url, "version": version}).encode())

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def complete(self) -> None:
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        replace_file(self.path, self.target)
        self._note.unlink(missing_ok=True)


def _download(url: str, partial: _Partial, remote: RemoteFile, log: Log) -> bool:
    """Download all bytes of `url` into `partial`; return whether several requests were needed.

    A broken connection is resumed as long as bytes arrive.

    Raises:
        _Incomplete: no attempt succeeded.
        OSError: the bytes cannot be stored.
    """
    resumed, attempts = False, 0
    while True:
        size_before = partial.size()
        try:
            return _request(url, partial, remote, log) or resumed
        except _Incomplete:
            resumed = resumed or partial.size() > 0
            attempts = 0 if partial.size() > size_before else attempts + 1
            if attempts > len(_PAUSES):
                raise
            time.sleep(_PAUSES[attempts - 1] if attempts else 0)
        except _Refused as error:
            raise _Incomplete(str(error)) from error


def _request(url: str, partial: _Partial, remote: RemoteFile, log: Log) -> bool:
    """Run one request to its end; return whether it resumed from the bytes of an earlier one."""
    start, version, size = partial.size(), partial.version(url), remote.size
    headers = dict(_HEADERS)
    if start and (version or remote.checksum):  # otherwise two versions could be mixed
        headers["Range"] = f"bytes={start}-"
    if start and version:
        headers["If-Range"] = version
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # no bytes after `start`: complete, or another version
            if start == size or error.headers.get("Content-Range") == f"bytes */{start}":
                return True
            partial.discard()
            raise _Incomplete("its length has changed") from error
        raise _from_status(error) from error
    except _NETWORK_ERRORS as error:
        raise _Incomplete(_reason(error)) from error
    with response:
        resumes = _starts_at(response, start)
        if not resumes:
            start = 0
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            # A weak ETag does not promise equal bytes.
            partial.begin(url, "" if validator.startswith("W/") else validator)
        total = _total(response, start)
        if size and total and total != size:
            partial.discard()
            raise _Refused(f"it has {total} bytes there, not {size}: another file")
        _store(response, partial, start, total, log)
    return resumes


def _starts_at(response: Any, start: int) -> bool:
    """Return whether the response begins at byte `start`; a server may send the whole file."""
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    )


def _total(response: Any, start: int) -> int:
    """Return the size of the whole file in bytes; 0: the server does not say.

    Raises:
        _Refused: the server's answer is not a number.
    """
    length = response.headers.get("Content-Length") or "0"
    if not length.isdigit():
        raise _Refused(f"its Content-Length is {length!r}")
    return start + int(length) if int(length) else 0


def _store(response: Any, partial: _Partial, start: int, total: int, log: Log) -> None:
    start_time = last_log = time.monotonic()
    done = start
    with partial.path.open("ab") as file:
        while True:
            try:
                chunk = response.read(_CHUNK)
            except _NETWORK_ERRORS as error:
                raise _Incomplete(_reason(error)) from error
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            now = time.monotonic()
            if now - last_log > _LOG_SECONDS:
                last_log = now
                speed = (done - start) / max(now - start_time, 1e-9)
                log(_format_progress(done, total, speed))
    if done < total:
        raise _Incomplete(f"the connection broke after {done} of {total} bytes")


def _format_progress(done: int, total: int, speed: float) -> str:
    """Return a bar, megabytes, speed and time left; sizes in bytes, speed in bytes per second."""
    if not total:
        return f"data: {done / 1e6:.0f} MB, {speed / 1e6:.1f} MB/s"
    filled = round(20 * done / total)
    bar = "#" * filled + "-" * (20 - filled)
    numbers = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB, {speed / 1e6:.1f} MB/s"
    return f"data: {bar} {numbers}, {(total - done) / speed:.0f} s left"


def _from_status(error: urllib.error.HTTPError) -> Exception:
    """Return _Incomplete for a temporary status, otherwise _Refused."""
    is_temporary = error.code >= 500 or error.code == 429
    return (_Incomplete if is_temporary else _Refused)(f"{error.code} {error.reason}")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def _require_space(target: Path, size: int | None) -> None:
    """Raise OSError if the disk has too little space for `size` bytes."""
    free = shutil.disk_usage(target.parent).free
    if size and size > free:
        raise OSError(f"{free / 1e6:.0f} MB are free, and the file has {size / 1e6:.0f} MB")


def digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file; `algorithm` is a name of hashlib's."""
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            hasher.update(chunk)
    return hasher.hexdigest()


def _is_valid(path: Path, remote: RemoteFile) -> bool:
    try:
        _verify(path, "", remote, "")
    except ConfigError:
        return False
    return True


def _verify(path: Path, name: str, remote: RemoteFile, fix: str) -> None:
    """Raise ConfigError if size or checksum differ from the published ones."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        raise ConfigError(
            f"{name} has {size} bytes instead of {remote.size}: it is damaged or another file: "
            f"{fix.rstrip('.')}."
        )
    if remote.checksum is None:
        return
    algorithm, _, expected = remote.checksum.partition(":")
    actual = digest(path, algorithm)
    if not actual.startswith(expected):
        raise ConfigError(
            f"{name} has the {algorithm} {actual} instead of {expected}: it is damaged or another "
            f"file: {fix.rstrip('.')}."
        )
