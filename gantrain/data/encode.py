"""Writing a picture with the depth it has."""

import importlib.util
import io
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from gantrain.data.bit_depth import ImageFault
from gantrain.io.files import atomic_write

_OPTIONS = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}


def write_image(path: Path, x: np.ndarray) -> None:
    """`encoded` by the name's ending, whole or not at all. Raises ImageFault, OSError."""
    content = encoded(x, Image.registered_extensions()[path.suffix.lower()])
    with atomic_write(path) as file:
        file.write(content)


def encoded(x: np.ndarray, kind: str) -> bytes:
    """uint8, uint16 or float32 [H, W, C] in the format `kind`, by Pillow's names.

    Raises ImageFault where that format cannot hold it, or a library is missing.
    """
    if x.dtype != np.uint8 and kind != "TIFF" and not (kind == "PNG" and x.dtype == np.uint16):
        raise ImageFault(f"has more than 8 bits per channel, which {kind} cannot hold")
    if x.shape[-1] in (2, 4) and kind == "JPEG":
        raise ImageFault("gets transparency, which JPEG cannot hold: leave out format=same")
    file = io.BytesIO()
    if x.dtype == np.uint8 or x.shape[-1] == 1:
        plain = np.ascontiguousarray(x)
        image = Image.fromarray(plain[..., 0] if x.shape[-1] == 1 else plain)
        image.save(file, format=kind, **_OPTIONS.get(kind, {}))
    else:
        _write_deep(file, kind, x)
    return file.getvalue()


def _write_deep(file: IO[bytes], kind: str, x: np.ndarray) -> None:
    name = "imagecodecs" if kind == "PNG" else "tifffile"
    if importlib.util.find_spec(name) is None:
        raise ImageFault(
            "has more than 8 bits per channel, and writing it takes packages more: "
            "pip install 'gantrain[deep]'"
        )
    library: Any = importlib.import_module(name)
    if kind == "PNG":
        file.write(library.png_encode(np.ascontiguousarray(x)))
    else:
        alpha = {2: "unassalpha", 4: "unassalpha"}.get(x.shape[-1])
        photometric = "rgb" if x.shape[-1] > 2 else "minisblack"
        extra = {"extrasamples": [alpha]} if alpha else {}
        library.imwrite(file, x, photometric=photometric, planarconfig="contig", **extra)
