"""Picture files of every kind, written by libraries that gantrain does not use for them."""

import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by channels


def random_pixels(seed: int, shape: tuple[int, int, int], dtype: type) -> np.ndarray:
    """[H, W, C]; floats in [0, 1]."""
    values = np.random.default_rng(seed)
    if dtype is np.float32:
        return values.random(shape, np.float32)
    return values.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def write(path: Path, x: np.ndarray, orientation: int = 1) -> None:
    """uint8, uint16 or float32 [H, W, C] as .png or .tif."""
    if path.suffix == ".png":
        path.write_bytes(png(x, orientation))
        return
    extra = {"extrasamples": ["unassalpha"]} if x.shape[-1] in (2, 4) else {}
    tifffile.imwrite(
        path,
        x if x.shape[-1] > 1 else x[..., 0],
        photometric="rgb" if x.shape[-1] > 2 else "minisblack",
        extratags=[(274, 3, 1, orientation, True)],
        **extra,
    )


def png(x: np.ndarray, orientation: int = 1) -> bytes:
    """A PNG by the specification: 8 or 16 bits, 1 to 4 channels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    height, width, channels = x.shape
    bits = 8 * x.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, bits, COLOR_TYPES[channels], 0, 0, 0)
    big = x.astype(x.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    exif = Image.Exif()
    exif[274] = orientation
    parts = [(b"IHDR", header), (b"eXIf", exif.tobytes()[6:]), (b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])
