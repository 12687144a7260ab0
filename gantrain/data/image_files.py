"""Finding image files, and what a data set makes of each."""

import os
from pathlib import Path

import numpy as np

from gantrain.data.archive import Picture
from gantrain.data.bit_depth import ImageFault, PixelFormat, to_channels
from gantrain.data.decode import decode
from gantrain.errors import ConfigError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
PLAIN = PixelFormat()  # 8 bits


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by their path relative to it.

    Linked folders are followed (each once); names starting with a dot are skipped.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link back to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if is_image(name)]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def load_image(path: Picture, channels: int, pixels: PixelFormat = PLAIN) -> np.ndarray:
    """The upright picture [H, W, channels] of the depth that `pixels` names; first frame only.

    Raises ImageFault for an unreadable file and for what depth and channels cannot hold.
    """
    array, _ = decode(path)
    return to_channels(pixels.convert(array), channels)


def reload_image(path: Picture, channels: int, pixels: PixelFormat = PLAIN) -> np.ndarray:
    """`load_image` of a picture that was usable before. Raises ConfigError when it no longer is."""
    try:
        return load_image(path, channels, pixels)
    except ImageFault as fault:
        raise ConfigError(f"{path} {fault}; it was usable at the start.") from fault
