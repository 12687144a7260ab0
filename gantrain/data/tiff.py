"""TIFF files that Pillow does not read exactly: deep colour, bands, pages; and their tags."""

import io
import math
from typing import Any

import numpy as np

from gantrain.data.archive import ImageFile, Member
from gantrain.data.bit_depth import ImageFault, Picture
from gantrain.data.claims import PREMULTIPLIED, check_pages, meaning_of_bands
from gantrain.errors import ConfigError

ORIENTATION = 274
# Of GeoTIFF: scale, tie points, transformation, keys and their values; GDAL's notes and no-data.
GEOGRAPHIC = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
PROFILE = 34675  # ICC
_LOCATING = GEOGRAPHIC[:4]
_MOST_VALUES = 1 << 31  # of one file, unless `lift_size_limit` was called
_ORIENTATIONS = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}


def is_tiff_name(name: str) -> bool:
    """Return whether a file name is that of a TIFF."""
    return name.lower().endswith((".tif", ".tiff"))


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return [H, W, C] as the tag of its orientation says."""
    transform = _ORIENTATIONS.get(orientation)
    return np.ascontiguousarray(transform(array)) if transform else array


def read(path: ImageFile) -> Picture:
    """Read the only page of a TIFF.

    Raises:
        ImageFault: it holds several pages, or values that are not read.
    """
    with _open(path) as file:
        page = file.pages[0]
        full = sum(not int(one.subfiletype) & 1 for one in file.pages)
        check_pages(full, page.description, (page.imagewidth, page.imagelength))
        return _picture(page)


def count_pages(path: ImageFile) -> int:
    """Return the number of pages, without reduced copies of others; 1: unreadable."""
    try:
        with _open(path) as file:
            return len(_pages(file)[0])
    except ConfigError:
        raise
    except Exception:  # the reader says later what is wrong
        return 1


def read_pages(path: ImageFile, index: int | None) -> Picture:
    """Read a page of a TIFF, or all of them as bands.

    Args:
        path: the file.
        index: of the page, from 0; None: all.

    Raises:
        ImageFault: there is no such page, or pages differ in size.
    """
    with _open(path) as file:
        pages, joint = _pages(file)
        if index is not None and index >= len(pages):
            raise ImageFault(f"has {len(pages)} pages, and page {index + 1} is wanted")
        chosen = range(len(pages)) if index is None else [index]
        if joint is not None:
            pictures = [_shape(file.pages[0], joint[i]) for i in chosen]
        else:
            pictures = [_picture(pages[i]) for i in chosen]
    if len(pictures) == 1:
        return pictures[0]
    if len({(one.pixels.shape[:2], one.pixels.dtype) for one in pictures}) > 1:
        raise ImageFault("holds pages of different sizes or depths: save them as files")
    return Picture(np.concatenate([one.pixels for one in pictures], axis=2), colors=False)


def size(path: ImageFile) -> tuple[int, int] | None:
    """Return (height, width) of the first page, upright; None: this is no TIFF."""
    try:
        with _open(path) as file:
            page = file.pages[0]
            height, width = int(page.imagelength), int(page.imagewidth)
            tag = page.tags.get(ORIENTATION)
            is_rotated = tag is not None and int(tag.value) in (5, 6, 7, 8)
            return (width, height) if is_rotated else (height, width)
    except ConfigError:
        raise
    except Exception:
        return None


def geotags(path: ImageFile) -> list[tuple[int, int, int, Any, bool]]:
    """Return the tags that say where on Earth an image is, as tifffile writes them; []: none."""
    try:
        with _open(path) as file:
            tags = file.pages[0].tags
            if not any(code in tags for code in _LOCATING):
                return []
            found = [tags[code] for code in GEOGRAPHIC if code in tags]
            return [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found]
    except ConfigError:
        raise
    except Exception:
        return []


def dtype(path: ImageFile) -> np.dtype:
    """Return the dtype of the first page."""
    with _open(path) as file:
        return np.dtype(file.pages[0].dtype)


def has_colors(path: ImageFile) -> bool:
    """Return whether the bands of the first page are grey or RGB, with or without alpha."""
    with _open(path) as file:
        page = file.pages[0]
        extra = [*map(int, page.extrasamples)]
        return meaning_of_bands(int(page.photometric), page.samplesperpixel, extra)[0]


def profile(path: ImageFile) -> bytes | None:
    """Return the ICC profile of the first page, or None."""
    try:
        with _open(path) as file:
            tag = file.pages[0].tags.get(PROFILE)
            return bytes(tag.value) if tag else None
    except ConfigError:
        raise
    except Exception:
        return None


def _open(path: ImageFile) -> Any:
    import tifffile

    return tifffile.TiffFile(io.BytesIO(path.read()) if isinstance(path, Member) else path)


def _pages(file: Any) -> tuple[list[Any], np.ndarray | None]:
    """Return the full pages, and the images of a file that stores several as one page."""
    pages = [page for page in file.pages if not int(page.subfiletype) & 1]
    series = file.series[0]
    if len(pages) == 1 and math.prod(series.shape) > math.prod(pages[0].shape):
        _check_size(series.shape)
        joint = series.asarray().reshape(-1, *pages[0].shape)
        return [pages[0]] * len(joint), joint
    return pages, None


def _check_size(shape: tuple[int, ...]) -> None:
    if math.prod(shape) > _MOST_VALUES:
        raise ImageFault(f"claims {math.prod(shape)} values, more than an image has")


def _picture(page: Any) -> Picture:
    _check_size(page.shape)
    return _shape(page, page.asarray())


def _shape(page: Any, array: np.ndarray) -> Picture:
    """Return the pixels of a page, upright, with what it says about its bands."""
    extra = [*map(int, page.extrasamples)]
    colors, alpha = meaning_of_bands(int(page.photometric), page.samplesperpixel, extra)
    if PREMULTIPLIED in extra:
        raise ImageFault(
            "has colours that are multiplied by alpha: save them as they are (ExtraSamples 2)"
        )
    if page.photometric.name not in ("MINISBLACK", "RGB"):
        raise ImageFault(f"is in colour mode {page.photometric.name}: save it as RGB or grey")
    if page.axes == "SYX":
        array = np.moveaxis(array, 0, 2)
    elif page.axes not in ("YX", "YXS"):
        raise ImageFault(f"has the axes {page.axes}: save it as a plain image")
    tag = page.tags.get(ORIENTATION)
    array = array if array.ndim == 3 else array[..., None]
    array = upright(exact(array), int(tag.value) if tag else 1)
    return Picture(array, colors=colors, alpha=alpha)


def exact(array: np.ndarray) -> np.ndarray:
    """Return an array with integers of up to 32 bits or float32, in this machine's byte order.

    Raises:
        ImageFault: this loses something.
    """
    if array.dtype.kind == "f" and array.dtype.itemsize != 4:
        single = array.astype(np.float32)
        if not np.array_equal(single.astype(array.dtype), array, equal_nan=True):
            raise ImageFault("holds 64-bit floats that 32 bits cannot: save it with 32 bits")
        array = single
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 4:
        raise ImageFault(
            f"holds {array.dtype} values: save it with unsigned 8 or 16 bits, or as floats"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)
