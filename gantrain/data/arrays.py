"""Arrays of numpy as images: .npy and .npz. Nothing in them is unpickled."""

import io
import math
import zipfile
from typing import IO, Any

import numpy as np

from gantrain.data.archive import ImageFile, Member
from gantrain.data.bit_depth import ImageFault, Picture
from gantrain.data.tiff import exact
from gantrain.data.views import Formats

SUFFIXES = (".npy", ".npz")
_MOST_VALUES = 1 << 31
_ASK = (
    "is an array of the shape {shape}: say which axis holds the channels, with "
    "data.array_layout=hwc (the last) or chw (the first)"
)


def is_array_name(name: str) -> bool:
    """Return whether a file name is that of an array."""
    return name.lower().endswith(SUFFIXES)


def read(path: ImageFile, formats: Formats) -> Picture:
    """Read an array [H, W], or with three axes by `formats.array_layout`.

    Raises:
        ImageFault: it is no image, or how to read it is not known.
    """
    with _open(path, formats) as file:
        shape, kind = _header(file)
        _image_shape(shape, formats)
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
    if kind.kind == "b":
        raise ImageFault("holds true and false: save it as numbers, such as uint8 0 and 255")
    if array.ndim == 2:
        array = array[..., None]
    elif formats.array_layout == "chw":
        array = np.moveaxis(array, 0, 2)
    if array.dtype == np.float64:  # numpy's default; networks compute in float32
        array = array.astype(np.float32)
    array = np.ascontiguousarray(exact(array))
    return Picture(array, colors=array.shape[-1] == 1)


def size(path: ImageFile, formats: Formats) -> tuple[int, int]:
    """Return (height, width) from the header.

    Raises:
        ImageFault: see `read`.
    """
    with _open(path, formats) as file:
        return _image_shape(_header(file)[0], formats)[:2]


def dtype(path: ImageFile, formats: Formats) -> np.dtype:
    """Return the dtype from the header."""
    with _open(path, formats) as file:
        return _header(file)[1]


def _open(path: ImageFile, formats: Formats) -> IO[bytes]:
    """Open the .npy file, or the one in a .npz."""
    content: Any = io.BytesIO(path.read()) if isinstance(path, Member) else path.open("rb")
    if not str(path).lower().endswith(".npz"):
        return content
    with content, zipfile.ZipFile(content) as archive:
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        listed = ", ".join(sorted(names)[:8])
        wanted = formats.array_name
        if wanted is None and len(names) != 1:
            raise ImageFault(
                f"holds {len(names)} arrays ({listed}): choose one with data.array_name=NAME"
            )
        if wanted is not None and wanted not in names:
            raise ImageFault(f"has no array {wanted} (data.array_name), only {listed}")
        info = archive.getinfo(names[wanted] if wanted is not None else next(iter(names.values())))
        if info.file_size > _MOST_VALUES:
            raise ImageFault(f"holds {info.file_size / 1e9:.1f} GB, more than an image needs")
        return io.BytesIO(archive.read(info))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype, checked against the size of the file."""
    version = np.lib.format.read_magic(file)
    reader: Any = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if reader is None:
        raise ImageFault(f"is a .npy of version {version[0]}: save it with numpy.save")
    shape, _, kind = reader(file)
    if kind.hasobject:
        raise ImageFault("holds Python objects, which are not read: save an array of numbers")
    start = file.tell()
    present = file.seek(0, io.SEEK_END) - start
    if math.prod(shape) * kind.itemsize > present:
        raise ImageFault(f"is cut off: it claims an array of the shape {list(shape)}")
    return shape, kind


def _image_shape(shape: tuple[int, ...], formats: Formats) -> tuple[int, int, int]:
    """Return (height, width, channels)."""
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ImageFault(f"is an array of the shape {list(shape)}, not [H, W] or with channels")
    if math.prod(shape) > _MOST_VALUES:
        raise ImageFault(f"has {math.prod(shape)} values, more than an image has")
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if formats.array_layout is None:
        raise ImageFault(_ASK.format(shape=list(shape)))
    return (*shape[1:], shape[0]) if formats.array_layout == "chw" else shape  # type: ignore[return-value]
