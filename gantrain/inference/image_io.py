"""Read image files as input of a network, and write results with the bit depth of its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data.bit_depth import Depth, PixelFormat, to_channels
from gantrain.data.decode import decode
from gantrain.data.encode import write_image
from gantrain.ops.value_range import to_float, to_integers

_DEPTHS = (np.uint8, np.uint16, np.float32)  # each can hold the values of those before it


@dataclass(frozen=True)
class RunPixels:
    """What a run knows of the pixels of its images.

    Args:
        depth: of its data set; None: unknown, as of imported weights.
        value_range: of float files, the values that become -1 and 1.
    """

    depth: Depth | None
    value_range: tuple[float, float]

    @property
    def is_float(self) -> bool:
        """Whether the run was trained on floats, so that its results are floats."""
        return self.depth == "float"

    def result_dtype(self, dtype: np.dtype) -> np.dtype:
        """Return the dtype of a result, from that of its input: the deeper one of run and input."""
        own = dtype if self.depth is None else PixelFormat(self.depth).dtype
        return max(own, dtype, key=lambda kind: _DEPTHS.index(kind.type))


def run_pixels(data: dict[str, Any], value_range: Sequence[float] | None = None) -> RunPixels:
    """Return what a snapshot's description of its data says about pixels.

    Args:
        data: `describe()` of the data set, or {}.
        value_range: overrides the recorded one; None: that, or else [0, 1].
    """
    low, high = map(float, value_range or data.get("value_range") or (0.0, 1.0))
    depth = data.get("depth")
    return RunPixels(depth if depth in (8, 16, "float") else None, (low, high))


@dataclass(frozen=True)
class LoadedImage:
    """An image as input of a network, and the properties of its file.

    Args:
        x: float32 [C, H, W] in [-1, 1].
        dtype: of the result's values.
        note: what had to be changed for the network, or "".
    """

    x: Tensor
    dtype: np.dtype
    note: str


def read(path: Path, channels: int, run: RunPixels) -> LoadedImage:
    """Read an image file.

    Args:
        path: the file.
        channels: channels of the network's input; the image is converted if possible.
        run: the pixels of the run.

    Raises:
        ImageFault: the file cannot be read or converted.
    """
    array, note = decode(path)
    dtype = run.result_dtype(array.dtype)
    if array.dtype == np.float32 or run.is_float:
        # The range belongs to the trained network: widening it would rescale all values.
        pixel_format = PixelFormat("float", *run.value_range, fix="clip the image to it")
        pixels = to_channels(pixel_format.convert(array), channels)
        x = torch.from_numpy(pixel_format.to_output(pixels))
    else:
        x = to_float(torch.from_numpy(np.ascontiguousarray(to_channels(array, channels))))
    return LoadedImage(x.permute(2, 0, 1), dtype, note)


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
