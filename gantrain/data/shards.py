"""Tar archives whose members are one set of images, read at random through an index."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from gantrain.data.members import Members
from gantrain.data.notes import NOTES
from gantrain.data.shard_index import UNLABELLED, UNREADABLE, ShardIndex, load_index
from gantrain.errors import ConfigError, agreed, counted
from gantrain.io.byte_file import ByteFile, LocalFile, open_bytes
from gantrain.io.names import local_path

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # of WebDataset: train-{000..099}.tar
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_MOST = 100_000  # shards
_SHOWN = 20  # names in a sentence


class Shards(Members):
    """One or many tar archives. They are never unpacked.

    Args:
        text: as typed, for sentences and as a name.
        parts: the archives.
        titles: their names, for sentences.
    """

    def __init__(self, text: str, parts: Sequence[ByteFile], titles: Sequence[str]) -> None:
        self.text, self.parts, self.titles = text, tuple(parts), tuple(titles)

    def __str__(self) -> str:
        return self.text

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the index: a spawned worker loads it itself."""
        return {key: value for key, value in vars(self).items() if key != "index"}

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self.text.rstrip("/"))

    @property
    def is_remote(self) -> bool:
        """Whether the archives come over a network."""
        return not all(isinstance(part, LocalFile) for part in self.parts)

    @cached_property
    def index(self) -> ShardIndex:
        """What the archives hold.

        Raises:
            ConfigError: they cannot be read, or names occur twice.
        """
        return load_index(self.parts, self.titles)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was left out."""
        return self.index.notes

    def names_below(self, prefix: str) -> Iterator[str]:
        """Yield the paths below a folder, which has a slash at its end, sorted."""
        return self.index.names_below(prefix)

    def holds(self, name: str) -> bool:
        """Return whether there is a member of this name."""
        return self.index.row(name) is not None

    def identity(self) -> list[object]:
        """Return plain values that change with the content."""
        return [part.identity() for part in self.parts]

    def title(self, name: str) -> str:
        """Return a member as text, such as "train-003.tar!/000001.jpg"."""
        row = self.index.row(name)
        archive = self.text if row is None else self.titles[self.index.shards[row]]
        return f"{archive}!/{name}"

    def member_identity(self, name: str) -> list[object]:
        """Return plain values that change with a member's content."""
        part = self.parts[self.index.shards[self._row(name)]]
        return [f"{part}!/{name}", *part.identity()[1:]]

    def size(self, name: str) -> int:
        """Return the size of a member in bytes."""
        return int(self.index.sizes[self._row(name)])

    def read(self, name: str) -> bytes:
        """Return the content of a member.

        Raises:
            OSError: it cannot be read, or the archive has changed.
        """
        row = self._row(name)
        start, size = int(self.index.starts[row]), int(self.index.sizes[row])
        content = self.parts[self.index.shards[row]].read(start, start + size)
        if len(content) < size:
            raise OSError("the archive has become shorter")
        return content

    def sample_labels(self, names: Sequence[str], prefix: str, complete: bool) -> list[Any]:
        """See `Members`; they are those of .cls and .json files."""
        if complete:
            self._check_labels(names, prefix)
        labels = self._labels(names, prefix)
        return labels if any(label is not None for label in labels) else []

    def _labels(self, names: Sequence[str], prefix: str) -> list[Any]:
        """Return the labels of images by .cls and .json files; None: there is none to be read.

        Args:
            names: paths below `prefix`, in any order.
            prefix: path of their folder with a slash at its end, or "".
        """
        values = [*map(json.loads, self.index.texts), None, None]  # for UNREADABLE and UNLABELLED
        rows = self._rows(names, prefix)
        return [values[number] for number in self.index.labels[rows].tolist()]

    def _check_labels(self, names: Sequence[str], prefix: str) -> None:
        """Check that every image has a label, or none has.

        Args:
            names: see `_labels`.
            prefix: likewise.

        Raises:
            ConfigError: names those without a label, or with one that cannot be read.
        """
        rows = self._rows(names, prefix)
        numbers = self.index.labels[rows]
        for number, what in (
            (UNREADABLE, "a .cls that is no class number, or a .json that cannot be read"),
            (UNLABELLED, 'neither a .cls file nor a "label" in a .json file, as others do'),
        ):
            found = rows[numbers == number]
            if len(found) and not (number == UNLABELLED and len(found) == len(rows)):
                parts = [self.titles[self.index.shards[row]] for row in found[:_SHOWN]]
                keys = [self.index.key(row) for row in found[:_SHOWN]]
                shown = [f"{a}!/{_text(key)}" for a, key in zip(parts, keys, strict=True)]
                more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
                raise ConfigError(
                    f"data.labels=true, but {counted(len(found), 'image')} of {self} "
                    f"{agreed(len(found), 'have')} {what}: {', '.join(shown)}{more}. Pack them "
                    "with a label, or set data.labels=false."
                )

    def _rows(self, names: Sequence[str], prefix: str) -> np.ndarray:
        """Return the rows of paths below `prefix`; in their order, a million take a second."""
        below = zip(self.index.rows_below(prefix), self.index.names_below(prefix), strict=True)
        rows, row, found = np.empty(len(names), np.int64), -1, ""
        for i, name in enumerate(names):
            while found != name and (following := next(below, None)):
                row, found = following
            rows[i] = row if found == name else self._row(f"{prefix}{name}")
        return rows

    def _row(self, name: str) -> int:
        row = self.index.row(name)
        if row is None:
            raise OSError(f"there is no {name} in {self}")
        return row


def _text(key: bytes) -> str:
    return key.replace(b"\0", b"/").decode()


def only_shards(names: Sequence[str]) -> list[str]:
    """Return the archives among the entries of a folder, sorted; []: it holds something else.

    Args:
        names: of the entries, with a slash in or behind those of folders; hidden ones do not count.
    """
    visible = [name for name in names if not name.startswith(".")]
    shards = sorted(name for name in visible if name.lower().endswith(".tar") and "/" not in name)
    beside = (".tar", *NOTES, ".parquet")  # as img2dataset writes them
    alone = all(name.lower().endswith(beside) and "/" not in name for name in visible)
    return shards if alone else []


def _in_folder(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return only_shards([entry.name + "/" * entry.is_dir() for entry in entries])
    except OSError:  # no folder, or one that cannot be listed
        return []


def names_shards(value: str) -> bool:
    """Return whether a path or address names tar archives: a .tar file, a range, or a folder.

    Args:
        value: the path, or an address, of which this cannot be told for a folder.
    """
    if value.lower().endswith((".tar", *_COMPRESSED)):
        return True
    return bool(_in_folder(local_path(value)))


def has_range(value: str) -> bool:
    """Return whether a path or address has a range of numbers, such as {000..099}."""
    return _RANGE.search(value) is not None


def open_shards(
    setting: str, value: str, open_remote: Callable[[str], ByteFile] | None = None
) -> Shards:
    """Return the archives that a setting names.

    Args:
        setting: the dotted key, for sentences.
        value: see `names_shards`; "~" is expanded.
        open_remote: opens an address; None: `value` is a path.

    Raises:
        ConfigError: an archive is missing or compressed.
    """
    if value.lower().endswith(_COMPRESSED):
        raise ConfigError(
            f"{setting}={value} is compressed, so that images could not be read at random: unpack "
            "it to a .tar (gunzip, bunzip2, unxz or unzstd FILE), and give that. Images are "
            "compressed already, so that this hardly takes more room."
        )
    if open_remote is not None:
        titles = list(_expand(setting, value))
        return Shards(value, [open_remote(one) for one in titles], titles)
    path = local_path(value)
    if path.is_dir():
        titles = [str(path / name) for name in _in_folder(path)]
    else:
        titles = [str(path)] if path.is_file() else list(_expand(setting, str(path)))
    missing = [title for title in titles if not Path(title).is_file()]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise ConfigError(
            f"{setting}={value}: {len(missing)} of {counted(len(titles), 'archive')} "
            f"{'does' if len(missing) == 1 else 'do'} not exist: {', '.join(missing[:_SHOWN])}"
            f"{more}. Check the path and the range."
        )
    return Shards(value, [open_bytes(Path(title)) for title in titles], titles)


def _expand(setting: str, value: str) -> Iterator[str]:
    """Yield the paths of ranges such as {000..099}, whose numbers keep their width."""
    ranges = [range(int(a), int(b) + 1) for a, b in _RANGE.findall(value)]
    widths = [len(a) for a, _ in _RANGE.findall(value)]
    total = 1
    for numbers in ranges:
        total *= len(numbers)
    if not 0 < total <= _MOST:
        raise ConfigError(
            f"{setting}={value} names {total} archives: give a range from the first to the last, "
            f"such as {{000..099}}, of at most {_MOST}."
        )
    pieces = _RANGE.sub("\0", value).split("\0")
    for numbers in product(*ranges):
        words = [f"{x:0{width}d}" for x, width in zip(numbers, widths, strict=True)]
        yield pieces[0] + "".join(a + b for a, b in zip(words, pieces[1:], strict=True))
