"""Fetching a published file once: resumed after a break, checked, shared by all who want it."""

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

_CHUNK = 1 << 20
_LOG_SECONDS = 5.0
_PATIENCE = 60  # seconds without a byte
_PAUSES = (1.0, 4.0)  # seconds before the second and third try of a url that sends nothing more
_HEADERS = {"User-Agent": "gantrain", "Accept-Encoding": "identity"}  # not packed: ranges count

Log = Callable[[str], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file and what is known of it.

    urls: tried in order. checksum: "md5:..." or "sha256:...", hexadecimal, perhaps only its first
    digits. size: bytes.
    """

    urls: Sequence[str]
    checksum: str | None = None
    size: int | None = None


class _Broken(Exception):
    """Why a url gave no complete file."""


def fetch(published: RemoteFile, target: Path, log: Log, by_hand: str) -> Path:
    """`target`, downloaded if it is not there; it appears only when complete and right.

    What has arrived stays in `<target>.partial` and is gone on with, now or at the next start.
    Processes that want the same file wait for the one that fetches it.

    Raises ConfigError, ending with `by_hand`: how to place the file without a network.
    """
    try:
        if target.is_file():
            _check(target, f"{target}, kept from an earlier start,", published, "remove it")
            return target
        with exclusive_download(target, log):
            if target.is_file():
                return target
            _check_room(target, published.size)
            _fetch(published, target, log, by_hand)
    except OSError as error:
        raise ConfigError(
            f"{target.parent} cannot be used ({error.strerror or error}): set data.cache_dir or "
            f"GANTRAIN_CACHE to a folder with room, or {by_hand}"
        ) from error
    return target


@contextmanager
def exclusive_download(target: Path, log: Log) -> Iterator[None]:
    """Alone among all processes that ask for `target`; the others wait here."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    told = False
    while owner := locks.acquire(lock):
        if not told:
            log(f"data: waiting for {target.name}, which {owner} fetches")
            told = True
        time.sleep(0.2)
    try:
        yield
    finally:
        locks.release(lock)


def _fetch(published: RemoteFile, target: Path, log: Log, by_hand: str) -> None:
    reasons: list[str] = []
    partial = _Partial(target)
    for url in published.urls:
        log(f"data: downloading {url} to {target}")
        try:
            resumed = _collect(url, partial, published, log)
            if resumed and not _is_right(partial.path, published):
                log("data: the parts do not fit together; downloading it once more")
                partial.forget()
                _collect(url, partial, published, log)
        except _Broken as error:
            reasons.append(f"{url} cannot be downloaded ({error})")
            continue
        try:
            _check(partial.path, url, published, f"try again, or {by_hand}")
        except ConfigError:
            partial.forget()
            raise
        partial.settle()
        return
    kept = partial.size()
    more = (
        f" The {kept / 1e6:.1f} MB that arrived are kept; the next start goes on." if kept else ""
    )
    raise ConfigError(f"{'; '.join(reasons)}: {by_hand}{more}")


class _Partial:
    """`<target>.partial`, and beside it from which version of which url it is."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.partial")
        self._note = target.with_name(f"{target.name}.partial.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str:
        """The server's mark (ETag or date) of what is there; "": unknown, or of another url."""
        try:
            note = json.loads(self._note.read_text("utf-8"))
            return str(note["version"]) if note["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, url: str, version: str) -> None:
        self.path.write_bytes(b"")
        self._note.write_text(json.dumps({"url": url, "version": version}), "utf-8")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def settle(self) -> None:
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.target)
        self._note.unlink(missing_ok=True)


def _collect(url: str, partial: _Partial, published: RemoteFile, log: Log) -> bool:
    """All bytes of `url` in `partial`; whether some are from an earlier request.

    A connection that breaks is taken up again as long as bytes arrive. Raises _Broken, OSError.
    """
    resumed, tries = False, 0
    while True:
        before = partial.size()
        try:
            return _request(url, partial, published, log) or resumed
        except _Broken:
            resumed = resumed or partial.size() > 0
            tries = 0 if partial.size() > before else tries + 1
            if tries > len(_PAUSES):
                raise
            time.sleep(_PAUSES[tries - 1] if tries else 0)
        except _Refused as error:
            raise _Broken(str(error)) from error


class _Refused(Exception):
    """The server's answer: asking again would not change it."""


def _request(url: str, partial: _Partial, published: RemoteFile, log: Log) -> bool:
    """One request to its end; whether it went on from what was there."""
    start, version, size = partial.size(), partial.version(url), published.size
    headers = dict(_HEADERS)
    if start and (version or published.checksum):  # else two versions could be mixed
        headers["Range"] = f"bytes={start}-"
    if start and version:
        headers["If-Range"] = version
    try:
        request = urllib.request.Request(url, headers=headers)
        source = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing after what is there: complete, or of another version
            if start == size or error.headers.get("Content-Range") == f"bytes */{start}":
                return True
            partial.forget()
            raise _Broken("its length has changed") from error
        raise _of_status(error) from error
    except _UNREACHABLE as error:
        raise _Broken(_reason(error)) from error
    with source:
        goes_on = _goes_on(source, start)
        if not goes_on:
            start = 0
            marks = source.headers.get("ETag") or source.headers.get("Last-Modified") or ""
            partial.begin(url, "" if marks.startswith("W/") else marks)
        total = _total(source, start)
        if size and total and total != size:
            partial.forget()
            raise _Refused(f"it has {total} bytes there, not {size}: another file")
        _store(source, partial, start, total, log)
    return goes_on


_UNREACHABLE = (OSError, http.client.HTTPException, ValueError)


def _goes_on(source: Any, start: int) -> bool:
    """Whether the answer begins at `start`: a server may send all of it instead."""
    return source.status == 206 and source.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    )


def _total(source: Any, start: int) -> int:
    """Bytes of the whole file; 0: the server does not say. Raises _Refused."""
    told = source.headers.get("Content-Length") or "0"
    if not told.isdigit():
        raise _Refused(f"it says to have {told!r} bytes")
    return start + int(told) if int(told) else 0


def _store(source: Any, partial: _Partial, start: int, total: int, log: Log) -> None:
    begun = told = time.monotonic()
    done = start
    with partial.path.open("ab") as file:
        while True:
            try:
                chunk = source.read(_CHUNK)
            except _UNREACHABLE as error:
                raise _Broken(_reason(error)) from error
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            now = time.monotonic()
            if now - told > _LOG_SECONDS:
                told = now
                log(_progress(done, total, (done - start) / max(now - begun, 1e-9)))
    if done < total:
        raise _Broken(f"the connection broke after {done} of {total} bytes")


def _progress(done: int, total: int, rate: float) -> str:
    """A bar, megabytes, rate, time left."""
    pace = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s"
    if not total:
        return f"data: {done / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s"
    full = round(20 * done / total)
    return f"data: {'█' * full}{'░' * (20 - full)} {pace}, {(total - done) / rate:.0f} s left"


def _of_status(error: urllib.error.HTTPError) -> Exception:
    """_Broken where the server may answer otherwise in a moment, else _Refused."""
    passing = error.code >= 500 or error.code == 429
    return (_Broken if passing else _Refused)(f"{error.code} {error.reason}")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def _check_room(target: Path, size: int | None) -> None:
    """Raises OSError when the disk has too little room for `size` bytes."""
    free = shutil.disk_usage(target.parent).free
    if size and size > free:
        raise OSError(f"{free / 1e6:.0f} MB are free, and the file has {size / 1e6:.0f} MB")


def digest(path: Path, kind: str) -> str:
    """Hexadecimal checksum of a file by hashlib's `kind`."""
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            found.update(chunk)
    return found.hexdigest()


def _is_right(path: Path, published: RemoteFile) -> bool:
    try:
        _check(path, "", published, "")
    except ConfigError:
        return False
    return True


def _check(path: Path, what: str, published: RemoteFile, cure: str) -> None:
    """Raises ConfigError when size or checksum are not those published."""
    size = path.stat().st_size
    if published.size is not None and size != published.size:
        raise ConfigError(
            f"{what} has {size} bytes instead of {published.size}: it is damaged or another file: "
            f"{cure.rstrip('.')}."
        )
    if published.checksum is None:
        return
    kind, _, wanted = published.checksum.partition(":")
    if not (found := digest(path, kind)).startswith(wanted):
        raise ConfigError(
            f"{what} has the {kind} {found} instead of {wanted}: it is damaged or another file: "
            f"{cure.rstrip('.')}."
        )
