"""Read what one tar archive of images and labels holds, in WebDataset's layout.

The files of a sample share the path up to the first dot of the last part: 000001.jpg, 000001.cls
with a class number as text, 000001.json with a "label".
https://github.com/webdataset/webdataset
"""

import json
import re
from array import array
from dataclasses import dataclass, field

from gantrain.data.notes import NOTES
from gantrain.io.byte_file import ByteFile
from gantrain.io.tar_headers import Entry, TarFault, TarHeaders

_MAX_LABEL = 1 << 20  # bytes of a .cls or .json of one sample
_MAX_DIGITS = 18  # of a class
_LABEL_FILE = b"dataset.json"  # of many samples
_SUFFIXES = _CLASS, _JSON = (b".cls", b".json")
_NOTES = tuple(suffix.encode() for suffix in NOTES)
_PLAIN = re.compile(rb"(?:(?!__MACOSX)[\w-][\w .-]*/)*(?!__MACOSX)[\w-][\w .-]*")  # most paths
_UNSAFE = "have a path that leads out of the archive"
_NO_TEXT = "have a name that is not UTF-8"


@dataclass
class ShardContent:
    """The files of an archive, in its order, without those that say nothing about images.

    Attributes:
        fault: why it cannot be used, a sentence; "": it can.
        names: paths in UTF-8 with 0 for "/", which sort like lists of folders.
        starts, sizes: of the content in bytes.
        labels: numbers in `texts`; -1: none, -2: it cannot be read.
        texts: the different labels as JSON.
        skipped: names of members that are left out, by the reason.
        keys: how many samples have each further key in their .json.
        orphans: labels without an image.
    """

    fault: str = ""
    names: list[bytes] = field(default_factory=list)
    starts: array = field(default_factory=lambda: array("Q"))
    sizes: array = field(default_factory=lambda: array("Q"))
    labels: array = field(default_factory=lambda: array("i"))
    texts: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)


def read_shard(file: ByteFile, title: str) -> ShardContent:
    """Return what an archive holds. A fault is returned, so that those of all can be listed.

    Args:
        file: the archive.
        title: its name, for sentences.
    """
    content, samples = ShardContent(), _Samples()
    try:
        headers = TarHeaders(file)
        for entry in headers:
            _add(entry, headers, content, samples)
    except TarFault as fault:
        fix = "download or pack it again"
        if "compressed" in str(fault):
            fix = "unpack it to a .tar (gunzip, bunzip2, unxz or unzstd FILE), and give that"
        return ShardContent(f"{title} {fault}: {fix}.")
    except OSError as error:
        return ShardContent(f"{title} cannot be read ({error.strerror or error}).")
    samples.assign(content)
    return content


def _add(entry: Entry, headers: TarHeaders, content: ShardContent, samples: "_Samples") -> None:
    """Add a member to the content, or to the samples if it is a label."""
    name, fault = _clean(entry.name)
    if why := entry.skipped or fault:
        content.skipped.setdefault(why, []).append(entry.name.decode(errors="replace"))
    if why or not name:
        return
    base = name.rpartition(b"\0")[2]
    if base != _LABEL_FILE:
        suffix = b"." + base.partition(b".")[2].lower()
        if suffix in _SUFFIXES:
            small = entry.size <= _MAX_LABEL
            samples.add(name, suffix, headers.content(entry) if small else None, content.texts)
            return
        if suffix.endswith(_NOTES):
            return
    content.names.append(name)
    content.starts.append(entry.start)
    content.sizes.append(entry.size)


def _clean(stored: bytes) -> tuple[bytes, str]:
    """Return a path without "." and empty parts, as in `ShardContent`, and a fault, or "".

    The path of a hidden file is empty.
    """
    if _PLAIN.fullmatch(stored):
        return stored.replace(b"/", b"\0"), ""
    try:
        name = stored.decode().replace("\\", "/")  # of Windows
    except UnicodeDecodeError:
        return b"", _NO_TEXT
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name or name[1:2] == ":" or not parts:
        return b"", _UNSAFE
    if any(part.startswith((".", "__MACOSX")) for part in parts):
        return b"", ""
    return "\0".join(parts).encode(), ""


class _Samples:
    """The labels of an archive, by the key of their sample."""

    def __init__(self) -> None:
        self._labels: dict[bytes, dict[bytes, int]] = {suffix: {} for suffix in _SUFFIXES}
        self._keys: dict[bytes, tuple[str, ...]] = {}  # further ones in a .json, by sample
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}  # each once

    def add(self, name: bytes, suffix: bytes, text: bytes | None, texts: dict[str, int]) -> None:
        """Read a label.

        Args:
            name: path of its file.
            suffix: of the file, one of `_SUFFIXES`.
            text: its content; None: it is too long.
            texts: the different labels, with their numbers; gets new ones.
        """
        key = name[: -len(suffix)]
        try:
            if suffix == _CLASS:
                label = _class_number(text)
            else:
                about = json.loads(text or b"")
                value = about.get("label") if isinstance(about, dict) else None
                further = tuple(sorted(about.keys() - {"label"})) if isinstance(about, dict) else ()
                self._keys[key] = self._same.setdefault(further, further)
                if value is None:
                    return
                label = json.dumps(value)
            number = texts.setdefault(label, len(texts))
        except (ValueError, RecursionError):
            number = -2
        labels = self._labels[suffix]
        labels[key] = -2 if key in labels and labels[key] != number else number

    def assign(self, content: ShardContent) -> None:
        """Give every image its label, and count what is left; .cls goes before .json."""
        found: set[bytes] = set()
        numbers, json_numbers = (self._labels[suffix] for suffix in _SUFFIXES)
        for name in content.names:
            dot = name.find(b".", name.rfind(b"\0") + 1)
            key = name[:dot] if dot >= 0 else name
            label = numbers.get(key, json_numbers.get(key, -1))
            content.labels.append(label)
            if label != -1:
                found.add(key)
            for further in self._keys.get(key, ()):
                content.keys[further] = content.keys.get(further, 0) + 1
        for suffix, labels in self._labels.items():
            lost = [key + suffix for key in labels if key not in found]
            content.orphans += [name.replace(b"\0", b"/").decode() for name in lost]


def _class_number(text: bytes | None) -> str:
    """Return the class in a .cls file as JSON."""
    digits = (text or b"").strip()
    if not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise ValueError("no class number")
    return str(int(digits))
