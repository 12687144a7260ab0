"""Encode images with their bit depth."""

import importlib.util
import io
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from gantrain.data.bit_depth import ImageFault
from gantrain.io.files import atomic_write

_OPTIONS = {
    **{kind: {"quality": 95} for kind in ("JPEG", "MPO", "AVIF")},
    "WEBP": {"lossless": True, "exact": True},  # exact: also where it is transparent
}
# Channels that a format stores; others store 1 to 4
_CHANNELS = {
    **dict.fromkeys(("JPEG", "MPO", "BMP", "DIB", "PPM"), (1, 3)),
    "GIF": (1,),
    "QOI": (3, 4),
}

_LIBRARIES = {"PNG": "imagecodecs", "TIFF": "tifffile"}  # for more than 8 bits and one channel


def write_image(path: Path, x: np.ndarray) -> None:
    """Write an image file atomically, in the format of its suffix.

    Args:
        path: the file.
        x: uint8, uint16 or float32 [H, W, C].

    Raises:
        ImageFault: the format cannot store the image, or a library is missing.
        OSError: the file cannot be written.
    """
    content = encode_image(x, Image.registered_extensions()[path.suffix.lower()])
    with atomic_write(path) as file:
        file.write(content)


def encode_image(x: np.ndarray, kind: str) -> bytes:
    """Return the bytes of an image file.

    Args:
        x: uint8, uint16 or float32 [H, W, C].
        kind: format by Pillow's name, such as "PNG".

    Raises:
        ImageFault: the format cannot store the image, or a library is missing.
    """
    if x.dtype != np.uint8 and kind != "TIFF" and not (kind == "PNG" and x.dtype == np.uint16):
        raise ImageFault(f"has more than 8 bits per channel, which {kind} cannot store")
    if x.shape[-1] not in _CHANNELS.get(kind, (1, 2, 3, 4)):
        what = {1: "is grey", 3: "has more than one channel"}.get(x.shape[-1], "gets transparency")
        raise ImageFault(f"{what}, which {kind} cannot store: leave out format=same")
    file = io.BytesIO()
    if x.dtype == np.uint8 or x.shape[-1] == 1:
        pixels = np.ascontiguousarray(x)
        image = Image.fromarray(pixels[..., 0] if x.shape[-1] == 1 else pixels)
        image.save(file, format=kind, **_OPTIONS.get(kind, {}))
    else:
        _write_deep(file, kind, x)
    return file.getvalue()


def missing_package(kind: str, dtype: np.dtype, channels: int) -> str:
    """Return what is missing to write such images, a phrase that follows their name, or "".

    Args:
        kind: "PNG" or "TIFF".
        dtype: uint8, uint16 or float32.
        channels: of the images.
    """
    if dtype == np.uint8 or channels == 1 or importlib.util.find_spec(_LIBRARIES[kind]):
        return ""
    return (
        "has more than 8 bits per channel, and writing it needs more packages: "
        "pip install 'gantrain[deep]'"
    )


def _write_deep(file: IO[bytes], kind: str, x: np.ndarray) -> None:
    if fault := missing_package(kind, x.dtype, x.shape[-1]):
        raise ImageFault(fault)
    library: Any = importlib.import_module(_LIBRARIES[kind])
    if kind == "PNG":
        file.write(library.png_encode(np.ascontiguousarray(x)))
    else:
        alpha = {2: "unassalpha", 4: "unassalpha"}.get(x.shape[-1])
        photometric = "rgb" if x.shape[-1] > 2 else "minisblack"
        extra = {"extrasamples": [alpha]} if alpha else {}
        library.imwrite(file, x, photometric=photometric, planarconfig="contig", **extra)
