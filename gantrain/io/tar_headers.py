"""The headers of a tar archive, read in order without its content. Nothing is extracted.

ustar, pax and GNU archives are read, as POSIX.1-2017 (pax) and GNU tar's manual describe them. The
library's tarfile takes a minute for a million members, and believes more of what headers say.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from gantrain.io.byte_file import ByteFile

BLOCK = 512
_END = bytes(BLOCK)
_MAX_EXTENSION = 1 << 16  # bytes of a header that extends the next one: names, times, attributes
_MAX_AFTER_END = 1 << 20  # bytes after the end mark: writers fill up to a multiple of a record
_JUMP, _STREAM = 1 << 12, 1 << 18  # bytes of one read: after a large member, and among small ones
_MODULUS = 65521  # of Adler-32, the largest prime below 2**16
_EXTENSIONS = (b"x", b"g", b"L", b"K")  # kinds of headers
_FILES = (b"0", b"\0", b"7")
_FOLDERS = (b"5", b"V")  # and names of archives
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")  # whatever size they state
_SKIPPED = {
    **{b"1": "are links", b"2": "are links", b"3": "are devices", b"4": "are devices"},
    **{b"6": "are pipes", b"S": "are sparse files"},
}


class TarFault(Exception):
    """Why an archive cannot be used, a phrase that follows its name."""


class Entry(NamedTuple):
    """A member of an archive.

    Args:
        name: path as stored, in bytes.
        start: first byte of its content in the archive.
        size: of its content in bytes.
        skipped: what it and its like are, such as "are links"; "": a file.
    """

    name: bytes
    start: int
    size: int
    skipped: str = ""


class TarHeaders:
    """Iterates over the files of an archive, and over what is none but no folder either.

    Args:
        file: the archive.

    Raises:
        TarFault: while iterating, if the archive is damaged, incomplete or compressed.
        OSError: likewise, if it cannot be read.
    """

    def __init__(self, file: ByteFile) -> None:
        self._file, self._size = file, file.size
        self._window, self._begin = b"", 0

    def content(self, entry: Entry) -> bytes:
        """Return the content of a small member that iterating has just returned."""
        return self._at(entry.start, entry.size)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the members in the order of the archive."""
        if fault := _other_format(self._file.read(0, BLOCK)):
            raise TarFault(fault)
        place, extended = 0, _PLAIN
        while (block := self._at(place, BLOCK)) != _END:
            self._check(block, place)
            kind, start, size = block[156:157], place + BLOCK, _number(block[124:136], place)
            if kind in _EXTENSIONS:
                if size > _MAX_EXTENSION:
                    raise TarFault(f"is damaged: the header at byte {place} is too large")
                extended = extended.with_record(kind, self._at(start, size), place)
                place = self._after(start, size, place)
                continue
            if kind == b"S":
                start = self._after_sparse_map(block, start)
            size = size if extended.size is None else extended.size
            size = 0 if kind in _WITHOUT_CONTENT else size
            name = _stored_name(block) if extended.name is None else extended.name
            place = self._after(start, size, place)
            if kind in _FILES and not name.endswith(b"/"):
                yield Entry(name, start, size, "are sparse files" if extended.sparse else "")
            elif kind not in _FILES and kind not in _FOLDERS:
                yield Entry(name, start, size, _SKIPPED.get(kind, "are no files"))
            extended = _PLAIN
        self._check_rest(place + BLOCK)

    def _at(self, start: int, count: int) -> bytes:
        """Return some bytes, from memory if the last read reached so far."""
        offset = start - self._begin
        if offset < 0 or offset + count > len(self._window):
            near = 0 <= offset <= len(self._window) + _JUMP
            length = max(count, _STREAM if near else _JUMP)
            self._window, self._begin = self._file.read(start, start + length), start
            offset = 0
        found = self._window[offset : offset + count]
        if len(found) < count:
            raise TarFault(f"is incomplete: it ends at byte {self._size}, before its end mark")
        return found

    def _after(self, start: int, size: int, header: int) -> int:
        """Return where the next header is."""
        if start + size > self._size:
            raise TarFault(
                f"is incomplete: its member at byte {header} has {size} bytes, of which "
                f"{max(self._size - start, 0)} are there"
            )
        return start + (size + BLOCK - 1) // BLOCK * BLOCK

    def _check(self, block: bytes, place: int) -> None:
        """Compare the sum of a header's bytes, with spaces for the sum itself, with the stored one.

        Adler-32 gives the sum modulo a prime, in a tenth of the time that a sum in Python takes.
        """
        field = block[148:156]
        total = (zlib.adler32(block) & 0xFFFF) - 1 - sum(field) + 8 * 32
        try:
            stored = int(field.strip(b"\0 "), 8)
        except ValueError:
            stored = -1
        if stored < 0 or (total - stored) % _MODULUS:
            raise TarFault(
                f"is damaged: there is no header at byte {place}" if place else "is no tar archive"
            )

    def _after_sparse_map(self, block: bytes, start: int) -> int:
        """Return where the content of an old GNU sparse file begins."""
        more = block[482]
        while more:
            more = self._at(start, BLOCK)[504]
            start += BLOCK
        return start

    def _check_rest(self, start: int) -> None:
        """Refuse an archive with more behind its end mark, such as two that were joined."""
        if self._size - start > _MAX_AFTER_END or any(self._file.read(start, self._size)):
            raise TarFault(
                f"holds more behind its end at byte {start - BLOCK}, such as another tar"
            )


def _number(field: bytes, place: int) -> int:
    """Return a size in octal digits, or in base 256 (GNU)."""
    try:
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        number = int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        number = -1
    if number < 0:
        raise TarFault(f"is damaged: the header at byte {place} has no size")
    return number


def _stored_name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
        return prefix + b"/" + name
    return name


class _Extended(NamedTuple):
    """What extended headers say about the member after them."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False

    def with_record(self, kind: bytes, text: bytes, place: int) -> _Extended:
        """Return what is known with an extended header at byte `place`, see `_EXTENSIONS`."""
        if kind == b"L":
            return self._replace(name=text.partition(b"\0")[0])
        if kind == b"K":  # where a link leads to
            return self
        records = _pax_records(text, place)
        if kind == b"g":
            if records.keys() & {b"path", b"size"}:
                raise TarFault(f"has a header at byte {place} that renames all of its members")
            return self
        digits = records.get(b"size", b"0")
        if not digits.isdigit() or len(digits) > 20:
            raise TarFault(f"is damaged: the header at byte {place} has no size")
        return _Extended(
            records.get(b"path", self.name),
            int(digits) if b"size" in records else self.size,
            self.sparse or any(key.startswith(b"GNU.sparse.") for key in records),
        )


_PLAIN = _Extended()


def _pax_records(text: bytes, place: int) -> dict[bytes, bytes]:
    """Return the records of an extended header, lines of a length and KEY=VALUE."""
    records, rest = {}, text
    while rest.strip(b"\0"):
        digits, space, _ = rest[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = rest[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not (space and equals and record.endswith(b"\n") and length <= len(rest)):
            raise TarFault(f"is damaged: the extended header at byte {place} has another format")
        records[key] = value[:-1]
        rest = rest[length:]
    return records


def _other_format(head: bytes) -> str:
    """Return what a file is that is compressed, a phrase that follows its name, or ""."""
    marks = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
    for mark, name in marks.items():
        if head.startswith(mark):
            return f"is compressed ({name}), so that its members cannot be read at random"
    return ""
