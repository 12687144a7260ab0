"""The rows of a table as image files 000000.png, 000001.jpg, ..., beside which labels stand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gantrain.data.magic import SUFFIXES
from gantrain.data.members import Members
from gantrain.io.byte_file import LocalFile


@dataclass(frozen=True, eq=False)
class ArrowRows(Members):
    """N rows of Arrow files, whose images are read as bytes of these files.

    Args:
        folder: of the files, for sentences and as a name.
        parts: the files.
        shards: uint32 [N], numbers of the files.
        starts: int64 [N], first byte of the image.
        sizes: int64 [N], of the image in bytes.
        kinds: uint8 [N], numbers of the images' suffixes in `gantrain.data.magic.SUFFIXES`.
        classes: int64 [N], numbers in `class_names`; None: there are no labels.
        class_names: in the order of their numbers.
    """

    folder: Path
    parts: tuple[LocalFile, ...]
    shards: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    kinds: np.ndarray
    classes: np.ndarray | None = None
    class_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.folder.name

    @property
    def is_remote(self) -> bool:
        """Whether the files come over a network."""
        return False

    def identity(self) -> list[object]:
        """Return plain values that change with the content."""
        return [part.identity() for part in self.parts]

    def names_below(self, prefix: str) -> Iterator[str]:
        """Yield the names in the order of the rows; there are none below a folder."""
        if not prefix:
            yield from map(self._name, range(len(self.sizes)))

    def holds(self, name: str) -> bool:
        """Return whether a row has this name."""
        return self._find(name) is not None

    def title(self, name: str) -> str:
        """Return a member as text, such as "data-00000-of-00002.arrow!/000001.jpg"."""
        row = self._find(name)
        place = self.folder if row is None else self.parts[self.shards[row]]
        return f"{place}!/{name}"

    def member_identity(self, name: str) -> list[object]:
        """Return plain values that change with a member's content."""
        return [self.title(name), *self.parts[self.shards[self._row(name)]].identity()[1:]]

    def size(self, name: str) -> int:
        """Return the size of a member in bytes."""
        return int(self.sizes[self._row(name)])

    def read(self, name: str) -> bytes:
        """Return the content of a member.

        Raises:
            OSError: it cannot be read, or the file has changed.
        """
        row = self._row(name)
        start = int(self.starts[row])
        return self.parts[self.shards[row]].read(start, start + int(self.sizes[row]))

    def sample_labels(self, names: Sequence[str], prefix: str, complete: bool) -> list[int]:
        """See `Members`; they are numbers in `class_names`."""
        classes = self.classes
        return [] if classes is None else [int(classes[self._row(name)]) for name in names]

    def _name(self, row: int) -> str:
        width = max(6, len(str(len(self.sizes) - 1)))  # the order of names is that of rows
        return f"{row:0{width}d}{SUFFIXES[self.kinds[row]]}"

    def _find(self, name: str) -> int | None:
        digits = name.partition(".")[0]
        row = int(digits) if digits.isascii() and digits.isdecimal() else -1
        return row if 0 <= row < len(self.sizes) and name == self._name(row) else None

    def _row(self, name: str) -> int:
        row = self._find(name)
        if row is None:
            raise OSError(f"there is no {name} in {self}")
        return row
