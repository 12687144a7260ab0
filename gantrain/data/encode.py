"""Encode images with their bit depth and bands, and what an input's file says besides."""

import importlib.util
import io
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from gantrain.data.bit_depth import ImageFault
from gantrain.data.tiff import PROFILE
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
_PROFILED = ("PNG", "JPEG", "MPO", "WEBP", "AVIF")  # formats to which Pillow writes an ICC profile
_COLORS = {b"GRAY": 1, b"RGB ": 3}  # channels by the colour space of a profile
_PNG_HEADER = 33  # bytes of the signature and IHDR


@dataclass(frozen=True)
class Extras:
    """What a file says about an image besides its pixels.

    Args:
        profile: ICC profile.
        geotags: see `gantrain.data.tiff.geotags`.
    """

    profile: bytes | None = None
    geotags: list[tuple[int, int, int, Any, bool]] = field(default_factory=list)


NO_EXTRAS = Extras()


def profile_fits(profile: bytes, colors: int) -> bool:
    """Return whether an ICC profile is one of images with so many colours (ICC.1:2022, 7.2.8)."""
    return _COLORS.get(profile[16:20]) == colors


def write_image(path: Path, x: np.ndarray, alpha: bool = False, extras: Extras = NO_EXTRAS) -> None:
    """Write an image file atomically, in the format of its suffix.

    Args:
        path: the file.
        x: [H, W, C]; uint8, uint16, or of a TIFF or .npy also other integers and float32.
        alpha: whether the last channel is alpha.
        extras: of these, what the format can hold is written.

    Raises:
        ImageFault: the format cannot store the image, or a library is missing.
        OSError: the file cannot be written.
    """
    content = encode_image(x, kind_of(path.suffix), alpha, extras)
    with atomic_write(path) as file:
        file.write(content)


def kind_of(suffix: str) -> str:
    """Return the format of a suffix such as ".jpg", by Pillow's name, or "NPY".

    Raises:
        ImageFault: it is not written.
    """
    suffix = suffix.lower()
    kind = "NPY" if suffix == ".npy" else Image.registered_extensions().get(suffix)
    if kind is None:
        raise ImageFault(f"is a {suffix} file, which is read but not written: use format=tiff")
    return kind


def storage_fault(kind: str, dtype: np.dtype, channels: int, alpha: bool) -> str:
    """Return why a format cannot store an image, a phrase that follows its name, or "".

    Args:
        kind: see `kind_of`.
        dtype: of the image.
        channels: of the image.
        alpha: whether the last one is alpha.
    """
    if kind in ("NPY", "TIFF"):
        return ""
    if dtype != np.uint8 and not (kind == "PNG" and dtype == np.uint16):
        return f"has more than 8 bits per channel, which {kind} cannot store"
    if channels > 4 or (channels in (2, 4) and not alpha):
        return f"has {channels} bands, which {kind} cannot store: use format=tiff or npy"
    if channels not in _CHANNELS.get(kind, (1, 2, 3, 4)):
        what = {1: "is grey", 3: "has more than one channel"}.get(channels, "gets transparency")
        return f"{what}, which {kind} cannot store: leave out format=same"
    return ""


def encode_image(
    x: np.ndarray, kind: str, alpha: bool = False, extras: Extras = NO_EXTRAS
) -> bytes:
    """Return the bytes of an image file.

    Args:
        x: see `write_image`.
        kind: format by Pillow's name, such as "PNG", or "NPY".
        alpha: whether the last channel is alpha.
        extras: see `write_image`.

    Raises:
        ImageFault: the format cannot store the image, or a library is missing.
    """
    file, channels = io.BytesIO(), x.shape[-1]
    if kind == "NPY":
        np.save(file, x, allow_pickle=False)
        return file.getvalue()
    if kind == "TIFF":
        _write_tiff(file, x, alpha, extras)
        return file.getvalue()
    if fault := storage_fault(kind, x.dtype, channels, alpha):
        raise ImageFault(fault)
    profile = {"icc_profile": extras.profile} if extras.profile and kind in _PROFILED else {}
    if x.dtype == np.uint8 or channels == 1:
        pixels = np.ascontiguousarray(x)
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        image.save(file, format=kind, **_OPTIONS.get(kind, {}), **profile)
        return file.getvalue()
    return _with_profile(_deep_png(x), extras.profile)


def missing_package(kind: str, dtype: np.dtype, channels: int) -> str:
    """Return what is missing to write such images, a phrase that follows their name, or "".

    Args:
        kind: "PNG" or "TIFF".
        dtype: uint8, uint16 or float32.
        channels: of the images.
    """
    is_plain = kind != "PNG" or dtype == np.uint8 or channels == 1
    if is_plain or importlib.util.find_spec("imagecodecs"):
        return ""
    return (
        "has more than 8 bits per channel, and writing it needs more packages: "
        "pip install 'gantrain[deep]'"
    )


def _deep_png(x: np.ndarray) -> bytes:
    if fault := missing_package("PNG", x.dtype, x.shape[-1]):
        raise ImageFault(fault)
    codecs: Any = importlib.import_module("imagecodecs")
    return codecs.png_encode(np.ascontiguousarray(x))


def _with_profile(content: bytes, profile: bytes | None) -> bytes:
    """Return a PNG with an iCCP chunk behind its header (PNG 1.2, 4.2.2.4)."""
    if not profile:
        return content
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:_PNG_HEADER] + chunk + content[_PNG_HEADER:]


def _write_tiff(file: IO[bytes], x: np.ndarray, alpha: bool, extras: Extras) -> None:
    import tifffile

    channels = x.shape[-1]
    colors = channels - alpha
    is_rgb = colors == 3
    extra = ["unspecified"] * (channels - (3 if is_rgb else 1) - alpha) + ["unassalpha"] * alpha
    tags = list(extras.geotags)
    if extras.profile:
        tags.append((PROFILE, 7, len(extras.profile), extras.profile, True))
    tifffile.imwrite(
        file,
        x if channels > 1 else x[..., 0],
        photometric="rgb" if is_rgb else "minisblack",
        **({"planarconfig": "contig"} if channels > 1 else {}),
        **({"extrasamples": extra} if extra else {}),
        extratags=tags,
        metadata=None,  # no description of the program's own
    )
