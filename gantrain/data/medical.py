"""DICOM and NIfTI files as images (extra "medical"). Their values are numbers, not levels."""

import importlib
import importlib.util
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gantrain.data.archive import ImageFile, Member
from gantrain.data.bit_depth import ImageFault, Picture
from gantrain.data.tiff import exact
from gantrain.data.views import Formats, split_suffix
from gantrain.errors import ConfigError

SUFFIXES = (".dcm", ".dicom", ".nii", ".nii.gz")
_MOST_VALUES = 1 << 31
_NEEDED = {"pydicom": "DICOM", "nibabel": "NIfTI"}


def is_medical_name(name: str) -> bool:
    """Return whether a file name is that of a DICOM or NIfTI file."""
    return name.lower().endswith(SUFFIXES)


def read(path: ImageFile, formats: Formats, index: int | None) -> Picture:
    """Read an image, or one frame or slice of a file.

    Args:
        path: the file.
        formats: see there.
        index: of the frame or slice, from 0; None: the file is one image.

    Raises:
        ImageFault: the file is no image, or how to read it is not known.
    """
    if _is_nifti(path):
        return _read_slice(path, formats, index)
    return _read_dicom(path, formats, index)


def size(path: ImageFile, formats: Formats) -> tuple[int, int]:
    """Return (height, width) from the header."""
    if not _is_nifti(path):
        header = _dicom(path, with_pixels=False)
        return int(header.Rows), int(header.Columns)
    shape = _nifti_shape(path)
    if len(shape) == 2:
        return shape[0], shape[1]
    height, width = (side for i, side in enumerate(shape) if i != _axis(shape, formats))
    return height, width


def count(path: ImageFile, formats: Formats) -> int:
    """Return the number of images in a file by its settings; 1 also if it is unreadable."""
    try:
        if _is_nifti(path):
            shape = _nifti_shape(path)
            is_volume = len(shape) == 3 and formats.slices is not None
            return shape[formats.slices] if is_volume and formats.slices is not None else 1
        if formats.pages != "each":
            return 1
        return int(getattr(_dicom(path, with_pixels=False), "NumberOfFrames", 1) or 1)
    except ConfigError:
        raise
    except Exception:  # the reader says later what is wrong
        return 1


def _is_nifti(path: ImageFile) -> bool:
    return str(path).lower().endswith((".nii", ".nii.gz"))


def _read_dicom(path: ImageFile, formats: Formats, index: int | None) -> Picture:
    header = _dicom(path, with_pixels=True)
    frames = int(getattr(header, "NumberOfFrames", 1) or 1)
    samples = int(getattr(header, "SamplesPerPixel", 1))
    if frames > 1 and formats.pages is None:
        raise ImageFault(
            f"holds {frames} frames: set data.pages=channels (they are the channels of one image), "
            "first or each"
        )
    if samples != 1:
        raise ImageFault(
            f"is in colour ({getattr(header, 'PhotometricInterpretation', samples)}), which is not "
            "read from DICOM: save it as PNG"
        )
    if math.prod((frames, int(header.Rows), int(header.Columns))) > _MOST_VALUES:
        raise ImageFault("claims more values than an image has")
    array = np.asarray(header.pixel_array).reshape(frames, header.Rows, header.Columns)
    if formats.pages == "first":
        index = 0
    if index is not None:
        array = array[index : index + 1]
    chosen = range(frames) if index is None else [index]
    slope, intercept = np.moveaxis(np.array([_rescaling(header, i) for i in chosen]), 1, 0)
    values = array * slope[:, None, None] + intercept[:, None, None]
    if formats.window is not None:
        values = _windowed(values, header, formats)
        numbers = values.astype(np.float32)
    elif np.array_equal(values, np.rint(values)) and np.abs(values).max(initial=0) < 2**31:
        numbers = values.astype(np.int32)
    else:
        numbers = values.astype(np.float32)
    return Picture(np.ascontiguousarray(np.moveaxis(numbers, 0, 2)), colors=len(numbers) == 1)


def _rescaling(header: Any, frame: int) -> tuple[float, float]:
    """Return the slope and intercept of a frame.

    Enhanced files have them for each frame, or for all of them (DICOM PS3.3 C.7.6.16.2.9).

    Raises:
        ImageFault: values are mapped by a table instead.
    """
    if getattr(header, "ModalityLUTSequence", None):
        raise ImageFault(
            "maps its values by a table (Modality LUT), which is not read: apply it and save the "
            "result as NIfTI, .npy or TIFF"
        )
    place = header
    shared = getattr(header, "SharedFunctionalGroupsSequence", None) or []
    own = (getattr(header, "PerFrameFunctionalGroupsSequence", None) or [])[frame : frame + 1]
    for group in (*shared, *own):
        place = (getattr(group, "PixelValueTransformationSequence", None) or [place])[0]
    slope, intercept = (getattr(place, f"Rescale{name}", None) for name in ("Slope", "Intercept"))
    return float(slope or 1), float(intercept or 0)


def _windowed(values: np.ndarray, header: Any, formats: Formats) -> np.ndarray:
    """Return values in [0, 1] by a window (DICOM PS3.3 C.11.2.1.2.1, LINEAR).

    y = (x - (c - 1/2)) / (w - 1) + 1/2, clipped.
    """
    if formats.window == "file":
        center, width = (_first(getattr(header, f"Window{name}", None)) for name in _WINDOW)
        if center is None or width is None:
            raise ImageFault("names no window: give data.window=[center,width]")
    else:
        assert isinstance(formats.window, tuple)
        center, width = formats.window
    if width <= 1:
        raise ImageFault(f"has a window of the width {width:g}: give data.window=[center,width]")
    y = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    inverted = getattr(header, "PhotometricInterpretation", "") == "MONOCHROME1"  # low is white
    return 1 - y if inverted else y


_WINDOW = ("Center", "Width")


def _first(value: Any) -> float | None:
    if value is None:
        return None
    return float(value if isinstance(value, int | float | str) else value[0])


def _dicom(path: ImageFile, with_pixels: bool) -> Any:
    library: Any = _library("pydicom")
    source: Any = path
    if isinstance(path, Member):
        import io

        source = io.BytesIO(path.read())
    return library.dcmread(source, stop_before_pixels=not with_pixels)


def _read_slice(path: ImageFile, formats: Formats, index: int | None) -> Picture:
    volume, close = _nifti(path)
    try:
        shape = _squeezed(volume.shape)
        if math.prod(shape) > _MOST_VALUES:
            raise ImageFault("claims more values than an image has")
        # Scaled by slope and intercept, as the header says; only the slice is read.
        if len(shape) == 2:
            values = np.asanyarray(volume.dataobj).reshape(shape)
        else:
            axis = _axis(shape, formats)
            at = [slice(None)] * 3
            at[axis] = slice(index or 0, (index or 0) + 1)
            values = np.asanyarray(volume.dataobj[tuple(at)]).reshape(
                [side for i, side in enumerate(shape) if i != axis]
            )
    finally:
        close()
    if values.dtype.kind == "u":  # numbers as well
        values = values.astype(np.int64)
    if values.dtype.kind == "i" and np.abs(values).max(initial=0) < 2**31:
        values = values.astype(np.int32)
    elif values.dtype.kind == "f":
        values = values.astype(np.float32)  # products of slope and intercept, in float64
    return Picture(np.ascontiguousarray(exact(values))[..., None])


def _axis(shape: tuple[int, ...], formats: Formats) -> int:
    if len(shape) != 3:
        raise ImageFault(f"has the axes {list(shape)}, not two or three: save volumes one by one")
    if formats.slices is None:
        raise ImageFault(
            f"is a volume of {' x '.join(map(str, shape))}: say along which axis it is cut into "
            "images, with data.slices=0, 1 or 2"
        )
    return formats.slices


def _nifti_shape(path: ImageFile) -> tuple[int, ...]:
    volume, close = _nifti(path)
    close()
    return _squeezed(volume.shape)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape without trailing axes of one, of which NIfTI may have any number."""
    sides = [int(side) for side in shape]
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    return tuple(sides)


def _nifti(path: ImageFile) -> tuple[Any, Any]:
    """Return an opened volume and a function that ends its use."""
    library: Any = _library("nibabel")
    if isinstance(path, Path):
        return library.load(path), lambda: None
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name, f"volume{split_suffix(path.name)[1]}")
    file.write_bytes(path.read())
    return library.load(file), folder.cleanup


def _library(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        raise ImageFault(
            f"is a {_NEEDED[name]} file, and reading it needs another package: "
            "pip install 'gantrain[medical]'"
        )
    return importlib.import_module(name)
