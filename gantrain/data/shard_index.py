"""What a set of tar archives holds, in a few dozen bytes per member, and the cache of that on disk.

Names, places and labels are arrays: a million Python objects would take a gigabyte.
"""

import hashlib
import json
import struct
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gantrain.data.shard_scan import ShardContent, read_shard
from gantrain.errors import ConfigError, counted
from gantrain.io import locks
from gantrain.io.byte_file import ByteFile, LocalFile
from gantrain.io.cache import cache_home
from gantrain.io.cores import MAX_THREADS, image_threads
from gantrain.io.files import atomic_write

UNLABELLED, UNREADABLE = -1, -2  # in place of the number of a label
_MARK = b"gtshard1"  # version of the layout and of what is read from archives
_COLUMNS = {"ends": "<u8", "shards": "<u4", "starts": "<u8", "sizes": "<u8", "labels": "<i4"}
_WAIT = 600.0  # seconds for another process that reads the same archives
_SHOWN = 5  # names in a sentence


@dataclass(frozen=True)
class ShardIndex:
    """The files of N members, sorted as in a folder.

    Args:
        names: paths one after another, in UTF-8, with 0 for "/".
        ends: uint64 [N], where each name ends in `names`.
        shards: uint32 [N], numbers of the archives.
        starts: uint64 [N], first byte in the archive.
        sizes: uint64 [N], in bytes.
        labels: int32 [N], numbers in `texts`, or `UNLABELLED` or `UNREADABLE`.
        texts: the different labels as JSON.
        notes: sentences about what was left out.
    """

    names: bytes
    ends: np.ndarray
    shards: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    texts: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ends)

    def key(self, row: int) -> bytes:
        """Return the name of a row as it is stored."""
        begin = self.ends[row - 1] if row else 0
        return self.names[int(begin) : int(self.ends[row])]

    def first_from(self, key: bytes) -> int:
        """Return the first row whose stored name is `key` or comes after it."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.key(middle) < key else (low, middle)
        return low

    def row(self, name: str) -> int | None:
        """Return the row of a path, or None if there is no such file."""
        key = stored(name)
        row = self.first_from(key)
        return row if row < len(self) and self.key(row) == key else None

    def rows_below(self, prefix: str) -> range:
        """Return the rows of the files below a folder.

        Args:
            prefix: its path with a slash at the end; "": all.
        """
        if not prefix:
            return range(len(self))
        key = stored(prefix)
        return range(self.first_from(key), self.first_from(key[:-1] + b"\1"))

    def names_below(self, prefix: str) -> Iterator[str]:
        """Yield the paths below a folder relative to it, in order."""
        rows, skip = self.rows_below(prefix), len(stored(prefix))
        begin = int(self.ends[rows.start - 1]) if rows.start else 0
        for end in self.ends[rows.start : rows.stop].tolist():
            yield self.names[begin + skip : end].replace(b"\0", b"/").decode()
            begin = end


def stored(name: str) -> bytes:
    """Return a path as `ShardIndex` stores it: bytes sort like lists of folders then."""
    return name.encode(errors="surrogateescape").replace(b"/", b"\0")


def load_index(parts: Sequence[ByteFile], titles: Sequence[str]) -> ShardIndex:
    """Return the index of archives, from the user's cache if it is of these versions of them.

    Args:
        parts: the archives.
        titles: their names, for sentences.

    Raises:
        ConfigError: lists the archives that cannot be used, or names that occur twice.
    """
    identities = [part.identity() for part in parts]
    digest = hashlib.sha256(json.dumps([one[0] for one in identities]).encode()).hexdigest()
    file = cache_home() / "shards" / f"{digest[:24]}.index"
    if (found := _read(file, identities)) is not None:
        return found
    lock = file.with_suffix(".lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        owner = locks.acquire(lock, wait=_WAIT)
    except OSError:  # no cache can be written
        return _build(parts, titles)
    try:
        if (found := _read(file, identities)) is not None:  # made by another process meanwhile
            return found
        index = _build(parts, titles)
        if owner is None:
            _write(file, identities, index)
        return index
    finally:
        if owner is None:
            locks.release(lock)


def _build(parts: Sequence[ByteFile], titles: Sequence[str]) -> ShardIndex:
    """Read the headers of all archives."""
    is_remote = not all(isinstance(part, LocalFile) for part in parts)
    with ThreadPoolExecutor(MAX_THREADS if is_remote else image_threads()) as pool:
        contents = list(pool.map(read_shard, parts, titles))
    if faults := [content.fault for content in contents if content.fault]:
        raise ConfigError(*faults)
    texts: dict[str, int] = {}
    names: list[bytes] = []
    columns = {"starts": array("Q"), "sizes": array("Q"), "labels": array("i")}
    for content in contents:
        numbers = [texts.setdefault(text, len(texts)) for text in content.texts]
        names += content.names
        columns["starts"] += content.starts
        columns["sizes"] += content.sizes
        columns["labels"].extend(x if x < 0 else numbers[x] for x in content.labels)
    counts = [len(content.names) for content in contents]
    shards = np.repeat(np.arange(len(parts), dtype="<u4"), counts)
    notes = _notes(contents, titles)
    del contents
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    _check_unique(names, order, shards, titles)
    lengths = np.fromiter(map(len, names), "<u8", len(names))
    return ShardIndex(
        names=b"".join(map(names.__getitem__, order.tolist())),
        ends=np.cumsum(lengths[order], dtype="<u8"),
        shards=shards[order],
        texts=tuple(texts),
        notes=tuple(notes),
        **{key: np.array(x, _COLUMNS[key])[order] for key, x in columns.items()},
    )


def _check_unique(
    names: list[bytes], order: np.ndarray, shards: np.ndarray, titles: Sequence[str]
) -> None:
    """Raise ConfigError if several members have one path."""
    neighbours = pairwise(order.tolist())
    twice = [(i, j) for i, j in neighbours if names[i] == names[j]]
    if not twice:
        return
    examples = [
        f"{names[i].decode().replace(chr(0), '/')} in {titles[int(shards[i])]}"
        + (" (twice)" if shards[i] == shards[j] else f" and {titles[int(shards[j])]}")
        for i, j in twice[:_SHOWN]
    ]
    raise ConfigError(
        f"{counted(len(twice), 'name')} of members occur more than once, so that it is unclear "
        f"which one is meant: {'; '.join(examples)}. Pack the images under names of their own."
    )


def _notes(contents: Sequence[ShardContent], titles: Sequence[str]) -> Iterator[str]:
    """Yield sentences about what was left out of the archives."""
    skipped: dict[str, list[str]] = {}
    keys: dict[str, int] = {}
    orphans: list[str] = []
    for content, title in zip(contents, titles, strict=True):
        for why, found in content.skipped.items():
            skipped.setdefault(why, []).extend(f"{title}!/{name}" for name in found)
        for key, count in content.keys.items():
            keys[key] = keys.get(key, 0) + count
        orphans += [f"{title}!/{name}" for name in content.orphans]
    for why, found in skipped.items():
        yield f"warning: members that {why} are left out: {len(found)}, such as {found[0]}"
    if keys:
        listed = [f"{key} ({count})" for key, count in sorted(keys.items())[: 4 * _SHOWN]]
        yield f'keys of .json files that are not read, beside "label": {", ".join(listed)}'
    if orphans:
        yield (
            f"warning: {counted(len(orphans), 'label')} (.cls, .json) without an image, such as "
            f"{orphans[0]}"
        )


def _read(file: Path, identities: list[list[object]]) -> ShardIndex | None:
    """Return the index in a file; None if it is missing, damaged, or of other versions."""
    try:
        content = file.read_bytes()
        head, payload = content[:40], memoryview(content)[40:]
        if head != _MARK + hashlib.sha256(payload).digest():
            return None
        (length,) = struct.unpack("<Q", payload[:8])
        about = json.loads(bytes(payload[8 : 8 + length]))
        if about["identities"] != json.loads(json.dumps(identities)):
            return None
        place = 8 + length
        arrays: dict[str, Any] = {}
        for key, kind in _COLUMNS.items():
            arrays[key] = np.frombuffer(payload, kind, about["count"], place)
            place += arrays[key].nbytes
        names = bytes(payload[place:])
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    return ShardIndex(names, **arrays, texts=tuple(about["texts"]), notes=tuple(about["notes"]))


def _write(file: Path, identities: list[list[object]], index: ShardIndex) -> None:
    """Write an index; a folder that cannot be written is no fault."""
    about = {
        **{"identities": identities, "count": len(index)},
        **{"texts": index.texts, "notes": index.notes},
    }
    text = json.dumps(about).encode()
    columns = [getattr(index, key).tobytes() for key in _COLUMNS]
    pieces = [struct.pack("<Q", len(text)), text, *columns, index.names]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    try:
        with atomic_write(file) as target:
            target.writelines([_MARK, digest.digest(), *pieces])
    except OSError:
        pass
