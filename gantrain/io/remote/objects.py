"""Remote files and folders: ranges of bytes, kept on disk, fetched again if a request fails."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from itertools import groupby
from typing import Any

from gantrain.errors import ConfigError
from gantrain.io.remote.address import (
    address_fault,
    bare,
    last_name,
    require_packages,
)
from gantrain.io.remote.attempts import AT_START, attempt
from gantrain.io.remote.blocks import BlockCache, BlockSettings, block_name
from gantrain.io.remote.stores import Stamp, store_of

BLOCK, SMALL_BLOCK = 1 << 18, 1 << 16
_RECENT = 16 << 20  # bytes of blocks that a process keeps in memory
_STRIPES = 64


@dataclass(frozen=True)
class RemoteObject:
    """An object of one version.

    Args:
        address: without secrets.
        stamp: of the version.
        blocks: where what was read is kept.
    """

    address: str
    stamp: Stamp
    blocks: BlockSettings

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address."""
        return last_name(self.address)

    @property
    def size(self) -> int:
        """Bytes of this version."""
        return self.stamp.size

    def identity(self) -> list[object]:
        """Return plain values that change with the content."""
        return [self.address, *astuple(self.stamp)]

    def open(self) -> io.RawIOBase:
        """Return a file object, which reads in ranges."""
        return _Reader(self)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end` (exclusive), of those that there are.

        Raises:
            ConfigError: the object has changed or cannot be read.
        """
        end = min(end, self.stamp.size)
        if start >= end:
            return b""
        size = self._block_size
        first, last = start // size, (end - 1) // size
        content = b"".join(_read_blocks(self, range(first, last + 1)))
        return content[start - first * size : end - first * size]

    def fetch(self, start: int, end: int) -> None:
        """Bring a range to this machine, so that `read`, which see, returns it soon."""
        self.read(start, end)

    @property
    def _block_size(self) -> int:
        # If not all blocks will be kept, whole ones would be fetched for a part of each.
        return BLOCK if self.stamp.size <= self.blocks.limit else SMALL_BLOCK

    def _extent(self, index: int) -> tuple[int, int]:
        """Return the first byte of a block, and the one after its last."""
        start = index * self._block_size
        return start, min(start + self._block_size, self.stamp.size)

    def _name(self, index: int) -> str:
        return block_name(f"{self.identity()} {self._block_size}", index)


@dataclass(frozen=True, eq=False)
class RemoteFolder:
    """All objects below an address, as they were when it was opened.

    Args:
        address: without secrets, and without a slash at its end.
        files: the objects, by their path below it.
        blocks: where what was read is kept.
    """

    address: str
    files: dict[str, Stamp] = field(repr=False)
    blocks: BlockSettings

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address."""
        return last_name(self.address)

    def identity(self) -> list[object]:
        """Return plain values that change with the content."""
        return [self.address, *((name, *astuple(x)) for name, x in sorted(self.files.items()))]

    def file(self, name: str) -> RemoteObject:
        """Return an object.

        Args:
            name: its path below the folder.

        Raises:
            FileNotFoundError: there was none.
        """
        if name not in self.files:
            raise FileNotFoundError(f"{self}/{name} is not there")
        return RemoteObject(f"{self.address}/{name}", self.files[name], self.blocks)


def open_file(setting: str, address: str, blocks: BlockSettings) -> RemoteObject:
    """Return the present version of an object.

    Args:
        setting: the dotted key of the address, for sentences.
        address: as typed.
        blocks: where what is read is kept.

    Raises:
        ConfigError: the address is none or holds secrets, a package is missing, or the object
            cannot be read.
    """
    _check(setting, address, blocks)
    pinned = attempt(address, lambda: store_of(address).pin(address), AT_START)
    stamp = attempt(address, lambda: store_of(address).stamp(pinned), AT_START)
    return RemoteObject(pinned, stamp, blocks)


def open_folder(setting: str, address: str, blocks: BlockSettings) -> RemoteFolder:
    """Return the present objects below an address.

    Args:
        setting: the dotted key of the address, for sentences.
        address: as typed.
        blocks: where what is read is kept.

    Raises:
        ConfigError: see `open_file`; or there are no objects.
    """
    _check(setting, address, blocks)
    address = address.rstrip("/")
    pinned = attempt(address, lambda: store_of(address).pin(address), AT_START).rstrip("/")
    files = attempt(address, lambda: store_of(address).find(pinned), AT_START)
    if not files:
        raise ConfigError(
            f"{setting}={address} holds no objects: check the address; an archive ends in .zip."
        )
    return RemoteFolder(pinned, files, blocks)


def _check(setting: str, address: str, blocks: BlockSettings) -> None:
    if fault := address_fault(setting, address):
        raise ConfigError(fault)
    require_packages(setting, address)
    try:
        (blocks.folder / "blocks").mkdir(parents=True, exist_ok=True)
        is_writable = os.access(blocks.folder / "blocks", os.W_OK)
        reason = "no permission"
    except OSError as error:
        is_writable, reason = False, error.strerror or str(error)
    if not is_writable:
        raise ConfigError(
            f"{blocks.folder / 'blocks'} cannot be written ({reason}), where parts of "
            f"{bare(address)} are kept: set data.cache_dir or GANTRAIN_CACHE to another folder."
        )


class _Reader(io.RawIOBase):
    """A seekable file object over a remote file."""

    def __init__(self, file: RemoteObject) -> None:
        self._file, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.stamp.size}
        if bases[whence] + offset < 0:
            raise OSError(f"{self._file} has no byte {bases[whence] + offset}")
        self._position = bases[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(self._position, self._position + len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


class _Recent:
    """The blocks that this process used last, and its caches and locks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._caches: dict[BlockSettings, BlockCache] = {}
        self.stripes = [threading.Lock() for _ in range(_STRIPES)]

    def cache(self, settings: BlockSettings) -> BlockCache:
        with self._lock:
            return self._caches.setdefault(settings, BlockCache(settings))

    def get(self, name: str) -> bytes | None:
        with self._lock:
            if name in self._blocks:
                self._blocks.move_to_end(name)
            return self._blocks.get(name)

    def put(self, name: str, block: bytes) -> None:
        with self._lock:
            self._bytes += len(block) - len(self._blocks.pop(name, b""))
            self._blocks[name] = block
            while self._bytes > _RECENT and len(self._blocks) > 1:
                self._bytes -= len(self._blocks.popitem(last=False)[1])


_recent = _Recent()


def _reset_after_fork() -> None:
    """Begin anew: a lock may have been held by a thread of the parent."""
    global _recent
    _recent = _Recent()


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_reset_after_fork)


def _read_blocks(file: RemoteObject, indices: range) -> Iterator[bytes]:
    """Yield blocks, from memory or disk; those that are missing are fetched."""
    names = {i: file._name(i) for i in indices}
    found = {i: _kept(file, i, names[i]) for i in indices}
    missing = [i for i, block in found.items() if block is None]
    if missing:
        with ExitStack() as stack:
            # Threads that need the same block wait for the one that fetches it; in order, so that
            # none waits in a circle.
            for stripe in sorted({int(names[i][:8], 16) % _STRIPES for i in missing}):
                stack.enter_context(_recent.stripes[stripe])
            found |= {i: _kept(file, i, names[i]) for i in missing}
            for run in _runs([i for i in missing if found[i] is None]):
                found |= _fetch_blocks(file, run, names)
    for i in indices:
        block = found[i]
        assert block is not None
        yield block


def _kept(file: RemoteObject, index: int, name: str) -> bytes | None:
    if (block := _recent.get(name)) is not None:
        return block
    start, end = file._extent(index)
    block = _recent.cache(file.blocks).get(name, end - start)
    if block is not None:
        _recent.put(name, block)
    return block


def _fetch_blocks(file: RemoteObject, run: list[int], names: dict[int, str]) -> dict[int, bytes]:
    """Fetch neighbouring blocks by one request, and keep them."""
    start, end = file._extent(run[0])[0], file._extent(run[-1])[1]

    def read() -> bytes:
        content = store_of(file.address).read(file.address, start, end, file.stamp)
        if len(content) != end - start:
            raise OSError(f"{len(content)} bytes arrived instead of {end - start}")
        return content

    content = attempt(file.address, read)
    blocks = {i: content[slice(*(x - start for x in file._extent(i)))] for i in run}
    for i, block in blocks.items():
        _recent.put(names[i], block)
        _recent.cache(file.blocks).put(names[i], block)
    return blocks


def _runs(indices: list[int]) -> Iterator[list[int]]:
    """Yield runs of neighbouring numbers."""
    for _, group in groupby(enumerate(indices), lambda pair: pair[1] - pair[0]):
        yield [i for _, i in group]
