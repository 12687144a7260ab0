"""Find image files, and read them in the pixel format of a data set."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

from gantrain.data import arrays, medical
from gantrain.data.bit_depth import ImageFault, Picture, PixelFormat, to_channels
from gantrain.data.decode import decode
from gantrain.data.notes import NOTES
from gantrain.data.views import AnyFile
from gantrain.errors import ConfigError

# Version of the rules by which files are found and ordered. A run keeps those that it started with.
# 2: more formats; splits such as Training/ and train/A; numeric classes in numeric order;
#    max_images takes images of every class.
# 3: arrays, DICOM, NIfTI, HEIF.
Reading = Literal[1, 2, 3]
FIRST_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
# Formats whose values Pillow gives as they are
_SECOND_EXTENSIONS = (
    *FIRST_EXTENSIONS,
    *(".jfif", ".jpe", ".mpo", ".gif", ".avif", ".tga", ".dib", ".apng", ".pnm", ".pbm", ".qoi"),
)
EXTENSIONS = (*_SECOND_EXTENSIONS, *arrays.SUFFIXES, *medical.SUFFIXES, ".heic", ".heif")
_EXTENSIONS: dict[Reading, tuple[str, ...]] = {
    1: FIRST_EXTENSIONS,
    2: _SECOND_EXTENSIONS,
    3: EXTENSIONS,
}
_MAX_KINDS = 8  # that a sentence names
PLAIN = PixelFormat()  # 8 bits


def list_files(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted by their path relative to it.

    Linked folders are followed, each once; names that start with a dot are skipped.
    """
    files: list[Path] = []
    visited: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real_path = os.path.realpath(parent)
        if real_path in visited:  # a link to a folder above
            folders.clear()
            continue
        visited.add(real_path)
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(files, key=lambda path: path.relative_to(folder).parts)


def list_images(folder: Path) -> list[Path]:
    """Return all image files below a folder, in the order of `list_files`."""
    return [path for path in list_files(folder) if is_image(path.name)]


def is_image(name: str, reading: Reading = 3) -> bool:
    """Return whether a file name is that of an image."""
    return name.lower().endswith(_EXTENSIONS[reading]) and not name.startswith(".")


def unread_kinds(names: Iterable[str]) -> str:
    """Describe files that are not read as images, such as "6 .npy (a/0.npy, ...)".

    Args:
        names: paths of files that are not images; notes such as .txt and .json do not count.

    Returns:
        The kinds with counts and an example each, or "".
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in NOTES:
            kinds.setdefault(suffix or "without an ending", []).append(name)
    by_count = sorted(kinds.items(), key=lambda entry: -len(entry[1]))
    parts = [f"{len(found)} {kind} (such as {found[0]})" for kind, found in by_count[:_MAX_KINDS]]
    if rest := by_count[_MAX_KINDS:]:
        parts.append(f"{sum(len(found) for _, found in rest)} of {len(rest)} more kinds")
    return ", ".join(parts)


def unread_warning(place: object, kinds: str) -> str:
    """Return a sentence about files of a folder that are not read.

    Args:
        place: the folder.
        kinds: from `unread_kinds`.
    """
    return (
        f"warning: files in {place} that are not read as images: {kinds}. If they are images, "
        "convert them to PNG or TIFF; else move them elsewhere"
    )


def load_image(path: AnyFile, channels: int, pixels: PixelFormat = PLAIN) -> Picture:
    """Read an image, upright.

    Args:
        path: the file.
        channels: of the result.
        pixels: format of the result.

    Returns:
        The image, [H, W, channels] in `pixels.dtype`.

    Raises:
        ImageFault: the file is unreadable, or cannot be converted without loss.
    """
    picture = decode(path)
    return to_channels(picture._replace(pixels=pixels.convert(picture.pixels)), channels)


def reload_image(path: AnyFile, channels: int, pixels: PixelFormat = PLAIN) -> Picture:
    """Call `load_image` for a file that was usable before.

    Args:
        path: the file, or the member of an archive.
        channels: of the result.
        pixels: depth and range of the set.

    Raises:
        ConfigError: it no longer is.
    """
    try:
        return load_image(path, channels, pixels)
    except ImageFault as fault:
        raise ConfigError(f"{path} {fault}; it was usable at the start.") from fault
