"""Decode image files to exactly the values they hold, or say why this is impossible."""

import importlib
import importlib.util
import io
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from gantrain.data import arrays, medical, tiff
from gantrain.data.archive import ImageFile, Member, open_image
from gantrain.data.bit_depth import ImageFault, Picture
from gantrain.data.claims import check_claims, check_values, pillow_reads
from gantrain.data.views import AnyFile, Formats, Stack, View, formats_of, name_of, plain_file
from gantrain.errors import ConfigError

_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_PLAIN_MODES = ("1", "L", "P", "RGB", "YCbCr")
_FORMATS = (
    *("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "MPO", "AVIF", "TGA", "QOI"),
    "HEIF",
)
_TOO_LARGE = (
    "has more than 179 megapixels, or claims to: make it smaller (gantrain translate reads it with "
    "tile=2048)"
)
_WIDTH, _HEIGHT, _BITS, _COLOR, _SAMPLES, _FORMAT = 256, 257, 258, 262, 277, 339  # of TIFF
_MAX_FRAMES = 1024  # of an animation whose frames become channels


@cache
def _formats() -> list[str]:
    """Return the formats that Pillow may recognize a file as, whatever its name.

    Not among them are those that run a program (EPS starts Ghostscript), hold no image of pixels,
    or have values that Pillow drops: small copies in ICO, 16 bits in JPEG 2000 and SGI.
    """
    Image.init()
    # It reports bands that it cannot read to stderr; tifffile reads them.
    logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
    return [name for name in _FORMATS if name in Image.OPEN]


def lift_size_limit() -> None:
    """Read images of any size from now on, in this process.

    By default those above 179 megapixels are refused: a tiny file may claim any size.
    """
    Image.MAX_IMAGE_PIXELS = None


def decode(file: AnyFile) -> Picture:
    """Decode an image, upright.

    Returns:
        The image as stored (palettes become RGB or RGBA). Its note is "CMYK" if it was converted to
        RGB by Pillow's formula, without a colour profile; "MPO" if the file also holds other views,
        which are left out; else "".

    Raises:
        ImageFault: the file is unreadable, holds more than one plain image, or has values that
            cannot be kept.
    """
    if isinstance(file, Stack):
        return _stacked(file)
    name, plain, formats = name_of(file).lower(), plain_file(file), formats_of(file)
    index = file.index if isinstance(file, View) else None
    try:
        if arrays.is_array_name(name):
            return arrays.read(plain, formats)
        if medical.is_medical_name(name):
            return medical.read(plain, formats, index)
        _register_heif(name)
        if formats.pages is not None:
            return _decode_pages(plain, formats, index)
        return _decode_image(plain)
    except (ImageFault, ConfigError):  # what is remote may be out of reach
        raise
    except Image.DecompressionBombError as error:
        raise ImageFault(_TOO_LARGE) from error
    except Exception as error:  # decoders raise almost anything for damaged files
        raise unreadable(error) from error


def image_size(file: AnyFile) -> tuple[int, int]:
    """Return (height, width) of the upright image from the header alone.

    Raises:
        ImageFault: the header is unreadable.
    """
    if isinstance(file, Stack):
        return image_size(file.files[0])
    name, plain, formats = name_of(file).lower(), plain_file(file), formats_of(file)
    try:
        if arrays.is_array_name(name):
            return arrays.size(plain, formats)
        if medical.is_medical_name(name):
            return medical.size(plain, formats)
        _register_heif(name)
        return _size(plain)
    except (ImageFault, ConfigError):  # what is remote may be out of reach
        raise
    except Image.DecompressionBombError as error:
        raise ImageFault(_TOO_LARGE) from error
    except Exception as error:
        if (found := tiff.size(plain)) is not None:
            return found
        raise unreadable(error) from error


def count_images(file: ImageFile, formats: Formats) -> int:
    """Return the number of images that a file holds by its settings; 1 also if it is unreadable."""
    name = name_of(file).lower()
    if medical.is_medical_name(name):
        return medical.count(file, formats)
    if formats.pages != "each" or arrays.is_array_name(name):
        return 1
    if tiff.is_tiff_name(name):
        return tiff.count_pages(file)
    try:
        with Image.open(open_image(file), formats=_formats()) as image:
            return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except ConfigError:
        raise
    except Exception:  # the reader says later what is wrong
        return 1


def holds_numbers(file: AnyFile) -> bool:
    """Return whether an image is of floats or signed integers; False also if it is unreadable."""
    return any(kind != "u" for kind in _kinds(file))


def may_hold_floats(file: AnyFile) -> bool:
    """Return whether an image is of floats; of medical files only their pixels would tell."""
    return any(kind == "f" for kind in _kinds(file))


def _kinds(file: AnyFile) -> Iterator[str]:
    """Yield numpy's kind of values, "u", "i" or "f", of each file of an image."""
    if isinstance(file, Stack):
        for one in file.files:
            yield from _kinds(one)
        return
    name, plain = name_of(file).lower(), plain_file(file)
    try:
        if arrays.is_array_name(name):
            yield arrays.dtype(plain, formats_of(file)).kind
        elif medical.is_medical_name(name):
            yield "f"
        else:
            yield tiff.dtype(plain).kind if tiff.is_tiff_name(name) else "u"
    except ConfigError:
        raise
    except Exception:  # unreadable, as its reader will say
        yield "u"


def holds_bands(file: AnyFile) -> bool:
    """Return whether an image has bands whose meaning is unknown; False also if it is unreadable.

    From the header alone, except for files of several pages that become channels.
    """
    if isinstance(file, Stack):
        return True
    name, plain, formats = name_of(file).lower(), plain_file(file), formats_of(file)
    if arrays.is_array_name(name) or tiff.is_tiff_name(name) or formats.pages == "channels":
        try:
            return not (
                tiff.has_colors(plain)
                if tiff.is_tiff_name(name) and formats.pages != "channels"
                else decode(file).colors
            )
        except ConfigError:
            raise
        except Exception:
            return False
    return False


def colour_profile(file: AnyFile) -> bytes | None:
    """Return the ICC profile of an image file, or None."""
    if isinstance(file, Stack) or arrays.is_array_name(name_of(file).lower()):
        return None
    try:
        with Image.open(open_image(plain_file(file)), formats=_formats()) as image:
            return image.info.get("icc_profile")
    except ConfigError:
        raise
    except Exception:  # deep TIFFs, and what is no picture for Pillow
        return tiff.profile(plain_file(file)) if tiff.is_tiff_name(name_of(file)) else None


def has_geotags(file: AnyFile) -> bool:
    """Return whether a file is a TIFF that says where on Earth it is (GeoTIFF)."""
    return bool(geotags(file))


def geotags(file: AnyFile) -> list[tuple[int, int, int, Any, bool]]:
    """Return the tags of a GeoTIFF that say where on Earth it is, as tifffile writes them."""
    if isinstance(file, Stack):
        return geotags(file.files[0])
    return tiff.geotags(plain_file(file)) if tiff.is_tiff_name(name_of(file)) else []


def unreadable(error: Exception) -> ImageFault:
    """Return the fault of a file that raised `error`."""
    return ImageFault(f"is unreadable ({str(error) or type(error).__name__})")


def _register_heif(name: str) -> None:
    """Let Pillow read HEIF, before the first such file only: the import takes a while."""
    if not name.endswith((".heic", ".heif")) or "HEIF" in Image.OPEN:
        return
    if importlib.util.find_spec("pillow_heif") is None:
        raise ImageFault("needs another package: pip install 'gantrain[heic]'")
    importlib.import_module("pillow_heif").register_heif_opener()
    _formats.cache_clear()


def _stacked(stack: Stack) -> Picture:
    pictures = [decode(file) for file in stack.files]
    first = pictures[0].pixels
    for file, one in zip(stack.files[1:], pictures[1:], strict=True):
        if one.pixels.shape[:2] != first.shape[:2]:
            raise ImageFault(
                f"are stacked, but {file} has {one.pixels.shape[1]} x {one.pixels.shape[0]} pixels "
                f"and {stack.files[0]} {first.shape[1]} x {first.shape[0]}"
            )
        if one.pixels.dtype != first.dtype:
            raise ImageFault(
                f"are stacked, but {file} holds {one.pixels.dtype} values and {stack.files[0]} "
                f"{first.dtype}: save them with one depth"
            )
    if any(one.alpha for one in pictures):
        raise ImageFault("are stacked, and one of them has alpha: save it without")
    notes = [one.note for one in pictures if one.note]
    pixels = np.concatenate([one.pixels for one in pictures], axis=2)
    return Picture(pixels, notes[0] if notes else "", colors=False)


def _decode_image(path: ImageFile) -> Picture:
    try:
        with Image.open(_source(path), formats=_formats()) as image:
            note = check_claims(image)
            if image.format == "TIFF" and not pillow_reads(getattr(image, "tag_v2", {})):
                return _deep_tiff(path, image)
            if image.format == "TIFF" or not _is_deep(image):
                return _shallow_upright(image, note)
            return _deep(path, image)
    except (ImageFault, ConfigError, Image.DecompressionBombError):
        raise
    except Exception:
        if tiff.size(path) is None:
            raise
        return _tiff_by_library(path)  # such as float RGB, which Pillow cannot read


def _decode_pages(path: ImageFile, formats: Formats, index: int | None) -> Picture:
    """Decode a file that may hold several pages or frames: one of them, or all as channels."""
    if formats.pages == "first":
        index = 0
    if tiff.is_tiff_name(name_of(path)):
        return _decode_image(path) if tiff.count_pages(path) == 1 else tiff.read_pages(path, index)
    with Image.open(open_image(path), formats=_formats()) as image:
        count = getattr(image, "n_frames", 1)
        if count == 1 or image.format == "MPO":
            return _decode_image(path)
        check_values(image)
        frames = []
        for number in range(min(count, _MAX_FRAMES + 1)) if index is None else [index]:
            image.seek(number)
            if _is_deep(image):
                raise ImageFault("is an animation of more than 8 bits: save its frames as files")
            frames.append(_shallow(image.copy())[0])
    if len(frames) == 1:
        return frames[0]
    if len(frames) > _MAX_FRAMES:
        raise ImageFault(f"has {count} frames, and at most {_MAX_FRAMES} become channels")
    pixels = [_without_alpha(frame) for frame in frames]
    if len({one.shape for one in pixels}) > 1:
        raise ImageFault("holds grey and colour frames: save them as files")
    return Picture(np.concatenate(pixels, axis=2), colors=False)


def _without_alpha(picture: Picture) -> np.ndarray:
    if not picture.alpha:
        return picture.pixels
    if (picture.pixels[..., -1] != 255).any():
        raise ImageFault("has transparent frames, which cannot become channels")
    return picture.pixels[..., :-1]


def _size(path: ImageFile) -> tuple[int, int]:
    with Image.open(open_image(path), formats=_formats()) as image:
        # Some versions of Pillow have already rotated the size of a TIFF; its tags are raw.
        tags: Any = getattr(image, "tag_v2", {})
        width, height = tags.get(_WIDTH, image.width), tags.get(_HEIGHT, image.height)
        is_rotated = image.getexif().get(tiff.ORIENTATION, 1) in (5, 6, 7, 8)
    return (width, height) if is_rotated else (height, width)


def _shallow_upright(image: Image.Image, note: str) -> Picture:
    image.load()
    picture, own = _shallow(ImageOps.exif_transpose(image))
    return picture._replace(note=own or note)


def _shallow(image: Image.Image) -> tuple[Picture, str]:
    note, alpha = "", False
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        is_grey = image.mode in ("LA", "La") or (image.mode == "L" and "transparency" in image.info)
        image, alpha = image.convert("LA" if is_grey else "RGBA"), True
    elif image.mode == "CMYK":
        image, note = image.convert("RGB"), "CMYK"
    elif image.mode not in _PLAIN_MODES:
        raise ImageFault(f"is in colour mode {image.mode}: save it as RGB or grayscale")
    elif image.mode in ("1", "L"):
        image = image.convert("L")
    else:
        image = image.convert("RGB")
    array = np.array(image)  # a copy: torch warns of Pillow's read-only array
    return Picture(array if array.ndim == 3 else array[..., None], alpha=alpha), note


def _is_deep(image: Image.Image) -> bool:
    """Return whether a file has more than 8 bits, which Pillow's RGB mode would drop silently."""
    if image.mode.startswith(("I", "F")):
        return True
    arguments = [tile[3] for tile in getattr(image, "tile", ())]  # of the decoder
    if image.format == "PNG":
        return any(isinstance(mode, str) and ";16" in mode for mode in arguments)
    if image.format == "PPM":  # (raw mode, largest value)
        return any(isinstance(args, tuple) and args[-1] > 255 for args in arguments)
    return False


def _deep(path: ImageFile, image: Image.Image) -> Picture:
    if image.format != "PNG":
        raise ImageFault(
            f"is a {image.format} of more than 8 bits per channel: save it as PNG or TIFF"
        )
    if "transparency" in image.info:
        raise ImageFault("marks one of its 16-bit colours as transparent: save it with alpha")
    if image.mode.startswith("I"):
        array = np.asarray(image).astype(np.uint16)[..., None]
    else:
        if importlib.util.find_spec("imagecodecs") is None:
            raise ImageFault(_needs_packages())
        codecs: Any = importlib.import_module("imagecodecs")
        content = path.read() if isinstance(path, Member) else path.read_bytes()
        array = codecs.png_decode(content)
    array = tiff.upright(array, image.getexif().get(tiff.ORIENTATION, 1))
    return Picture(array, alpha=array.shape[-1] in (2, 4))


def _deep_tiff(path: ImageFile, image: Image.Image) -> Picture:
    tags: Any = getattr(image, "tag_v2", {})
    kind = (tags.get(_SAMPLES, 1), tags.get(_BITS, (1,))[0], tags.get(_FORMAT, (1,))[0])
    is_exact = kind in ((1, 16, 1), (1, 32, 3)) and image.mode in ("I;16", "I;16B", "F")
    if not is_exact or tags.get(_COLOR, 1) != 1:  # black is 0
        return _tiff_by_library(path)
    array = np.asarray(image)
    dtype = np.float32 if image.mode == "F" else np.uint16  # in this machine's byte order
    # Read only now: loading a TIFF may have rotated it and removed the tag.
    orientation = image.getexif().get(tiff.ORIENTATION, 1)
    return Picture(tiff.upright(array.astype(dtype)[..., None], orientation))


def _tiff_by_library(path: ImageFile) -> Picture:
    try:
        return tiff.read(path)
    except (ImageFault, ConfigError):  # what is remote may be out of reach
        raise
    except Exception as error:
        if importlib.util.find_spec("imagecodecs") is None:  # of compressed files
            raise ImageFault(_needs_packages()) from error
        raise


def _source(path: ImageFile) -> Any:
    # Pillow (13.0) mixes up the sides of rotated TIFFs that it maps into memory.
    if isinstance(path, Path) and tiff.is_tiff_name(path.name):
        return io.BytesIO(path.read_bytes())
    return open_image(path)


def _needs_packages() -> str:
    return (
        "has more than 8 bits per channel, and reading it needs more packages: "
        "pip install 'gantrain[deep]'"
    )
