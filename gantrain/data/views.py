"""Images that are not simply a file: parts of one, files read by settings, and stacks of files."""

import os
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, TypeGuard

from gantrain.data.archive import ImageFile, Member, file_size

Pages = Literal["channels", "first", "each"]
Layout = Literal["hwc", "chw"]
Window = Literal["file"] | list[float]
_LONG_SUFFIXES = (".nii.gz",)
_MARK = "#"  # between the name of a file and the number of a page


@dataclass(frozen=True)
class Formats:
    """How files are read that may mean several things.

    Args:
        pages: of files with several pages or frames: all become "channels" of one image, the
            "first" is the image, "each" is an image; None: such files are refused.
        array_layout: of arrays with three axes; None: they are refused.
        array_name: of the array in .npz files that hold several.
        slices: axis along which a volume (NIfTI) is cut into images: 0, 1 or 2; None: volumes are
            refused.
        window: of DICOM, [center, width] or "file"; its ends become 0 and 1. None: the values
            themselves.
    """

    pages: Pages | None = None
    array_layout: Layout | None = None
    array_name: str | None = None
    slices: int | None = None
    window: tuple[float, float] | Literal["file"] | None = None

    @property
    def splits_files(self) -> bool:
        """Whether a file may hold several images."""
        return self.pages == "each" or self.slices is not None

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        window = self.window
        return {**asdict(self), "window": list(window) if isinstance(window, tuple) else window}


PLAIN = Formats()


@dataclass(frozen=True)
class View:
    """A file read by settings, or one page or slice of it; as text "scan.tif#3".

    Args:
        file: the file.
        formats: the settings.
        index: number of the page or slice, from 0; None: the file is one image.
    """

    file: ImageFile
    formats: Formats
    index: int | None = None

    def __str__(self) -> str:
        return str(self.file) if self.index is None else f"{self.file}{_MARK}{self.index}"


@dataclass(frozen=True)
class Stack:
    """Images of the same size whose channels are those of one image, in order.

    Args:
        files: the images.
    """

    files: tuple[ImageFile | View, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.files))


AnyFile = ImageFile | View | Stack


def is_stack(file: AnyFile) -> TypeGuard[Stack]:
    """Return whether an image is a stack."""
    return isinstance(file, Stack)


def plain_file(file: ImageFile | View) -> ImageFile:
    """Return the file that an image is in."""
    return file.file if isinstance(file, View) else file


def formats_of(file: ImageFile | View) -> Formats:
    """Return how a file is read."""
    return file.formats if isinstance(file, View) else PLAIN


def is_remote(file: AnyFile) -> bool:
    """Return whether an image comes over a network."""
    if isinstance(file, Stack):
        return any(map(is_remote, file.files))
    file = plain_file(file)
    return isinstance(file, Member) and file.is_remote


def bytes_of(file: AnyFile) -> int:
    """Return the size in bytes of the files of an image, unpacked."""
    if isinstance(file, Stack):
        return sum(map(bytes_of, file.files))
    return file_size(plain_file(file))


def identity(file: AnyFile) -> list[object]:
    """Return plain values that change with an image's files or with how they are read."""
    if isinstance(file, Stack):
        return [identity(one) for one in file.files]
    if isinstance(file, View):
        return [*identity(file.file), file.formats.describe(), file.index]
    try:
        if isinstance(file, Member):
            return file.identity()
        status = file.stat()
    except OSError:
        return [str(file), -1, -1]
    return [str(file.absolute()), status.st_size, status.st_mtime_ns]


def split_suffix(name: str) -> tuple[str, str]:
    """Return a path without its suffix, and the suffix, ".nii.gz" among them."""
    for suffix in _LONG_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix), suffix


def part_names(name: str, count: int) -> list[str]:
    """Return the names of the `count` images in a file: "a.tif" has "a#0.tif", "a#1.tif", ..."""
    stem, suffix = split_suffix(name)
    if count == 1 and _MARK not in stem:
        return [name]
    width = len(str(count - 1))
    return [f"{stem}{_MARK}{i:0{width}d}{suffix}" for i in range(count)]


def parse_part(name: str) -> tuple[str, int | None]:
    """Return the file and the number of a name from `part_names`."""
    stem, suffix = split_suffix(name)
    first, mark, number = stem.rpartition(_MARK)
    if not mark or not number.isdecimal() or os.sep in number:
        return name, None
    return f"{first}{suffix}", int(number)


def name_of(file: AnyFile) -> str:
    """Return the path of an image's (first) file as text, for its suffix."""
    if isinstance(file, Stack):
        return name_of(file.files[0])
    file = plain_file(file)
    return file.name if isinstance(file, Member) else str(file)
