"""Find image files, and read them in the pixel format of a data set."""

import os
from pathlib import Path

import numpy as np

from gantrain.data.archive import ImageFile
from gantrain.data.bit_depth import ImageFault, PixelFormat, to_channels
from gantrain.data.decode import decode
from gantrain.errors import ConfigError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
PLAIN = PixelFormat()  # 8 bits


def list_images(folder: Path) -> list[Path]:
    """Return all image files below a folder, sorted by their path relative to it.

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
        files += [Path(parent, name) for name in names if is_image(name)]
    return sorted(files, key=lambda path: path.relative_to(folder).parts)


def is_image(name: str) -> bool:
    """Return whether a file name is that of an image."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def load_image(path: ImageFile, channels: int, pixels: PixelFormat = PLAIN) -> np.ndarray:
    """Read the first frame of an image, upright.

    Args:
        path: the file.
        channels: 1 to 4.
        pixels: format of the result.

    Returns:
        [H, W, channels].

    Raises:
        ImageFault: the file is unreadable, or cannot be converted without loss.
    """
    array, _ = decode(path)
    return to_channels(pixels.convert(array), channels)


def reload_image(path: ImageFile, channels: int, pixels: PixelFormat = PLAIN) -> np.ndarray:
    """Call `load_image` for a file that was usable before.

    Args:
        path: the file, or the member of an archive.
        channels: 1 to 4.
        pixels: depth and range of the set.

    Returns:
        [H, W, C].

    Raises:
        ConfigError: it no longer is.
    """
    try:
        return load_image(path, channels, pixels)
    except ImageFault as fault:
        raise ConfigError(f"{path} {fault}; it was usable at the start.") from fault
