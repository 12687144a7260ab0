"""From picture files to what a network takes, and back to files of the same depth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.data.bit_depth import PixelFormat, to_channels
from gantrain.data.decode import decode
from gantrain.data.encode import write_picture
from gantrain.ops.value_range import to_float, to_integers


@dataclass(frozen=True)
class LoadedImage:
    """A picture as a network takes it, and what its file was.

    x: float32 [C, H, W] in [-1, 1]. dtype: of the file's numbers. note: what had to be changed.
    """

    x: Tensor
    dtype: np.dtype
    note: str


def read(path: Path, channels: int, value_range: tuple[float, float]) -> LoadedImage:
    """A file's picture; value_range: of floats, what becomes -1 and 1. Raises ImageFault."""
    array, note = decode(path)
    if array.dtype == np.float32:
        pixels = PixelFormat("float", *value_range)
        x = torch.from_numpy(pixels.leave(to_channels(pixels.convert(array), channels)))
    else:
        x = to_float(torch.from_numpy(np.ascontiguousarray(to_channels(array, channels))))
    return LoadedImage(x.permute(2, 0, 1), array.dtype, note)


def write(path: Path, x: Tensor, dtype: np.dtype, value_range: tuple[float, float]) -> None:
    """float [C, H, W] in [-1, 1] as a file of `dtype`; see `write_picture`."""
    x = x.permute(1, 2, 0)
    if dtype == np.float32:
        low, high = value_range
        array = (x.float().clamp(-1, 1).numpy() + np.float32(1)) * np.float32((high - low) / 2)
        array += np.float32(low)
    else:
        array = to_integers(x, torch.uint16 if dtype == np.uint16 else torch.uint8).numpy()
    write_picture(path, array)
