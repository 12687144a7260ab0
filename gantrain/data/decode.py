"""Decode image files to exactly the values they hold, or say why this is impossible."""

import importlib.util
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from gantrain.data.archive import ImageFile, Member, open_image
from gantrain.data.bit_depth import ImageFault
from gantrain.data.claims import PREMULTIPLIED, check_bands, check_claims, check_pages

_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_PLAIN_MODES = ("1", "L", "P", "RGB", "YCbCr")
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "MPO", "AVIF", "TGA", "QOI")
_TOO_LARGE = (
    "has more than 179 megapixels, or claims to: make it smaller (gantrain translate reads it with "
    "tile=2048)"
)
_WIDTH, _HEIGHT, _BITS, _COLOR, _SAMPLES, _FORMAT = 256, 257, 258, 262, 277, 339  # of TIFF
_ORIENTATION = 274  # of TIFF and EXIF
_GEOGRAPHIC = {33550, 33922, 34264, 34735}  # scale, tie points, transformation, keys of GeoTIFF
_ORIENTATIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}


@cache
def _formats() -> list[str]:
    """Return the formats that Pillow may recognize a file as, whatever its name.

    Not among them are those that run a program (EPS starts Ghostscript), hold no image of pixels,
    or have values that Pillow drops: small copies in ICO, 16 bits in JPEG 2000 and SGI.
    """
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def lift_size_limit() -> None:
    """Read images of any size from now on, in this process.

    By default those above 179 megapixels are refused: a tiny file may claim any size.
    """
    Image.MAX_IMAGE_PIXELS = None


def decode(path: ImageFile) -> tuple[np.ndarray, str]:
    """Decode an image, upright.

    Returns:
        The image, uint8, uint16 or float32 [H, W, C] with 1 to 4 channels, as stored (palettes
        become RGB or RGBA); and a note: "CMYK" if it was converted to RGB by Pillow's formula,
        without a colour profile; "MPO" if the file also holds other views, which are left out;
        else "".

    Raises:
        ImageFault: the file is unreadable, holds more than one plain image, or has values that
            none of the three dtypes can hold.
    """
    try:
        with Image.open(_source(path), formats=_formats()) as image:
            view = check_claims(image)
            if _is_deep(image):
                return _deep(path, image), ""
            image.load()
            upright = ImageOps.exif_transpose(image)
    except ImageFault:
        raise
    except Image.DecompressionBombError as error:
        raise ImageFault(_TOO_LARGE) from error
    except Exception as error:  # decoders raise almost anything for damaged files
        if _tiff_size(path) is None:
            raise unreadable(error) from error
        try:
            return _deep_tiff(path), ""  # such as float RGB, which Pillow cannot read
        except ImageFault:
            raise
        except Exception as second:
            raise unreadable(second) from second
    array, note = _shallow(upright)
    return array, note or view


def image_size(path: ImageFile) -> tuple[int, int]:
    """Return (height, width) of the upright image from the header alone.

    Raises:
        ImageFault: the header is unreadable.
    """
    try:
        with Image.open(open_image(path), formats=_formats()) as image:
            # Some versions of Pillow have already rotated the size of a TIFF; its tags are raw.
            tags: Any = getattr(image, "tag_v2", {})
            width, height = tags.get(_WIDTH, image.width), tags.get(_HEIGHT, image.height)
            is_rotated = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Image.DecompressionBombError as error:
        raise ImageFault(_TOO_LARGE) from error
    except Exception as error:
        if (size := _tiff_size(path)) is None:
            raise unreadable(error) from error
        return size
    return (width, height) if is_rotated else (height, width)


def holds_floats(path: ImageFile) -> bool:
    """Return whether a file is a TIFF of floats; False also if it cannot be read."""
    name = path.name if isinstance(path, Member) else str(path)
    if not name.lower().endswith((".tif", ".tiff")):
        return False
    try:
        with Image.open(open_image(path), formats=_formats()) as image:
            return image.mode == "F"
    except Exception:
        return _tiff_dtype(path).startswith("float")


def has_geotags(path: ImageFile) -> bool:
    """Return whether a file is a TIFF that says where on Earth it is (GeoTIFF)."""
    name = path.name if isinstance(path, Member) else str(path)
    if not name.lower().endswith((".tif", ".tiff")):
        return False
    try:
        with Image.open(open_image(path), formats=["TIFF"]) as image:
            return bool(_GEOGRAPHIC & set(getattr(image, "tag_v2", {})))
    except Exception:  # deep colour, which Pillow does not open
        return _has_tags(path)


def _has_tags(path: ImageFile) -> bool:
    if importlib.util.find_spec("tifffile") is None:
        return False
    try:
        with _library("tifffile").TiffFile(_file(path)) as file:
            return any(tag in file.pages[0].tags for tag in _GEOGRAPHIC)
    except Exception:
        return False


def unreadable(error: Exception) -> ImageFault:
    """Return the fault of a file that raised `error`."""
    return ImageFault(f"is unreadable ({str(error) or type(error).__name__})")


def _shallow(image: Image.Image) -> tuple[np.ndarray, str]:
    note = ""
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        is_grey = image.mode in ("LA", "La") or (image.mode == "L" and "transparency" in image.info)
        image = image.convert("LA" if is_grey else "RGBA")
    elif image.mode == "CMYK":
        image, note = image.convert("RGB"), "CMYK"
    elif image.mode not in _PLAIN_MODES:
        raise ImageFault(f"is in colour mode {image.mode}: save it as RGB or grayscale")
    elif image.mode in ("1", "L"):
        image = image.convert("L")
    else:
        image = image.convert("RGB")
    array = np.array(image)  # a copy: torch warns of Pillow's read-only array
    return array if array.ndim == 3 else array[..., None], note


def _is_deep(image: Image.Image) -> bool:
    """Return whether a file has more than 8 bits, which Pillow's RGB mode would drop silently."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS, (1,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    arguments = [tile[3] for tile in getattr(image, "tile", ())]  # of the decoder
    if image.format == "PNG":
        return any(isinstance(mode, str) and ";16" in mode for mode in arguments)
    if image.format == "PPM":  # (raw mode, largest value)
        return any(isinstance(args, tuple) and args[-1] > 255 for args in arguments)
    return False


def _deep(path: ImageFile, image: Image.Image) -> np.ndarray:
    if image.format not in ("PNG", "TIFF"):
        raise ImageFault(
            f"is a {image.format} of more than 8 bits per channel: save it as PNG or TIFF"
        )
    if image.format == "TIFF" and not _is_simple(image):
        return _deep_tiff(path)
    is_grey = image.format == "TIFF" or image.mode.startswith("I")
    array = _deep_grey(image) if is_grey else _deep_png(path, image)
    # Read only now: loading a TIFF may have rotated it and removed the tag.
    return _upright(array, image.getexif().get(_ORIENTATION, 1))


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    transform = _ORIENTATIONS.get(orientation)
    return np.ascontiguousarray(transform(array)) if transform else array


def _is_simple(image: Image.Image) -> bool:
    """Return whether Pillow reads a TIFF exactly: one channel of 16-bit integers or floats."""
    tags: Any = getattr(image, "tag_v2", {})
    kind = (tags.get(_SAMPLES, 1), tags.get(_BITS, (1,))[0], tags.get(_FORMAT, (1,))[0])
    is_exact = kind in ((1, 16, 1), (1, 32, 3)) and image.mode in ("I;16", "I;16B", "F")
    return is_exact and tags.get(_COLOR, 1) == 1  # black is 0


def _deep_grey(image: Image.Image) -> np.ndarray:
    """Return uint16 or float32 [H, W, 1] of an image that Pillow reads exactly."""
    if "transparency" in image.info:
        raise ImageFault("marks one of its 16-bit greys as transparent: save it with alpha")
    array = np.asarray(image)
    dtype = np.float32 if image.mode == "F" else np.uint16  # in this machine's byte order
    return array.astype(dtype)[..., None]


def _deep_png(path: ImageFile, image: Image.Image) -> np.ndarray:
    if "transparency" in image.info:
        raise ImageFault("marks one of its 16-bit colours as transparent: save it with alpha")
    codecs: Any = _library("imagecodecs")
    content = path.read() if isinstance(path, Member) else path.read_bytes()
    return _check_dtype(codecs.png_decode(content))


def _deep_tiff(path: ImageFile) -> np.ndarray:
    library: Any = _library("tifffile")
    with library.TiffFile(_file(path)) as file:
        page = file.pages[0]
        full = sum(not int(one.subfiletype) & 1 for one in file.pages)
        check_pages(full, page.description, (page.imagewidth, page.imagelength))
        check_bands(int(page.photometric), page.samplesperpixel, [*map(int, page.extrasamples)])
        if PREMULTIPLIED in page.extrasamples:
            raise ImageFault(
                "has colours that are multiplied by alpha: save them as they are (ExtraSamples 2)"
            )
        if page.photometric.name not in ("MINISBLACK", "RGB"):
            raise ImageFault(f"is in colour mode {page.photometric.name}: save it as RGB or grey")
        array = page.asarray()
        if page.axes == "SYX":
            array = np.moveaxis(array, 0, 2)
        elif page.axes not in ("YX", "YXS"):
            raise ImageFault(f"has the axes {page.axes}: save it as a plain image")
        tag = page.tags.get(_ORIENTATION)
    return _upright(_check_dtype(array), int(tag.value) if tag else 1)


def _check_dtype(array: np.ndarray) -> np.ndarray:
    """Return the array as uint8, uint16 or float32 [H, W, C] without loss, or raise ImageFault."""
    array = array if array.ndim == 3 else array[..., None]
    if array.dtype == np.float64 or array.dtype == np.float16:
        single = array.astype(np.float32)
        if not np.array_equal(single.astype(array.dtype), array, equal_nan=True):
            raise ImageFault("holds 64-bit floats that 32 bits cannot: save it with 32 bits")
        array = single
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise ImageFault(
            f"holds {array.dtype} values: save it with unsigned 8 or 16 bits, or as floats"
        )
    if array.shape[-1] > 4:
        raise ImageFault(f"has {array.shape[-1]} channels: save it with 1 to 4")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _tiff_size(path: ImageFile) -> tuple[int, int] | None:
    """Return (height, width) of a TIFF that Pillow cannot read; None: no TIFF, or no library."""
    if importlib.util.find_spec("tifffile") is None:
        return None
    try:
        with _library("tifffile").TiffFile(_file(path)) as file:
            page = file.pages[0]
            height, width = int(page.imagelength), int(page.imagewidth)
            tag = page.tags.get(_ORIENTATION)
            is_rotated = tag is not None and int(tag.value) in (5, 6, 7, 8)
            return (width, height) if is_rotated else (height, width)
    except Exception:
        return None


def _tiff_dtype(path: ImageFile) -> str:
    if importlib.util.find_spec("tifffile") is None:
        return ""
    try:
        with _library("tifffile").TiffFile(_file(path)) as file:
            return str(file.pages[0].dtype)
    except Exception:
        return ""


def _file(path: ImageFile) -> Any:
    return io.BytesIO(path.read()) if isinstance(path, Member) else path


def _source(path: ImageFile) -> Any:
    # Pillow (13.0) mixes up the sides of rotated TIFFs that it maps into memory.
    if isinstance(path, Path) and path.suffix.lower() in (".tif", ".tiff"):
        return io.BytesIO(path.read_bytes())
    return open_image(path)


def _library(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        raise ImageFault(
            "has more than 8 bits per channel, and reading it needs more packages: "
            "pip install 'gantrain[deep]'"
        )
    return importlib.import_module(name)
