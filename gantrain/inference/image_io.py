"""Read image files as input of a network, and write results with the same bit depth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.data.bit_depth import PixelFormat, to_channels
from gantrain.data.decode import decode
from gantrain.data.encode import write_image
from gantrain.ops.value_range import to_float, to_integers


@dataclass(frozen=True)
class LoadedImage:
    """An image as input of a network, and the properties of its file.

    Args:
        x: float32 [C, H, W] in [-1, 1].
        dtype: of the file's values.
        note: what had to be changed for the network, or "".
    """

    x: Tensor
    dtype: np.dtype
    note: str


def read(path: Path, channels: int, value_range: tuple[float, float]) -> LoadedImage:
    """Read an image file.

    Args:
        path: the file.
        channels: channels of the network's input; the image is converted if possible.
        value_range: of float files, the values that become -1 and 1.

    Raises:
        ImageFault: the file cannot be read or converted.
    """
    array, note = decode(path)
    if array.dtype == np.float32:
        pixel_format = PixelFormat("float", *value_range)
        pixels = to_channels(pixel_format.convert(array), channels)
        x = torch.from_numpy(pixel_format.to_output(pixels))
    else:
        x = to_float(torch.from_numpy(np.ascontiguousarray(to_channels(array, channels))))
    return LoadedImage(x.permute(2, 0, 1), array.dtype, note)


def write(path: Path, x: Tensor, dtype: np.dtype, value_range: tuple[float, float]) -> None:
    """Write an image file.

    Args:
        path: the file; its suffix sets the format.
        x: float [C, H, W] in [-1, 1].
        dtype: uint8, uint16 or float32.
        value_range: of float files, the values that -1 and 1 become.

    Raises:
        ImageFault: the format cannot store the image.
    """
    x = x.permute(1, 2, 0)
    if dtype == np.float32:
        low, high = value_range
        array = (x.float().clamp(-1, 1).numpy() + np.float32(1)) * np.float32((high - low) / 2)
        array += np.float32(low)
    else:
        array = to_integers(x, torch.uint16 if dtype == np.uint16 else torch.uint8).numpy()
    write_image(path, array)
