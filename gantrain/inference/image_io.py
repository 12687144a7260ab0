"""Read image files as input of a network, and write results as numbers of its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data.bit_depth import Depth, ImageFault, PixelFormat, to_channels
from gantrain.data.decode import decode
from gantrain.data.encode import NO_EXTRAS, Extras, write_image
from gantrain.data.pixel_settings import make_formats
from gantrain.data.views import AnyFile, Formats, View
from gantrain.ops.value_range import to_float, to_integers

_DTYPES: dict[Depth, np.dtype] = {depth: PixelFormat(depth).dtype for depth in (8, 16, "float")}
_ORDER: tuple[Depth, ...] = (8, 16, "float")  # each can hold the levels of those before it
_RESULT = Formats(array_layout="hwc")  # of the .npy files that are written


@dataclass(frozen=True)
class RunPixels:
    """What a run knows of the pixels of a domain.

    Args:
        depth: of its data set; None: unknown, as of imported weights.
        value_range: of numbers, the values that become -1 and 1.
        ranged: whether integers, too, are numbers in this range, not levels.
        clip: whether numbers outside of it are clipped.
        alpha: whether the last channel is alpha; None: unknown.
        stacked: folders whose images are stacked.
    """

    depth: Depth | None
    value_range: tuple[float, float] = (0.0, 1.0)
    ranged: bool = False
    clip: bool = False
    alpha: bool | None = None
    stacked: int = 1

    @property
    def is_float(self) -> bool:
        """Whether the run was trained on floats, so that its results are floats."""
        return self.depth == "float"

    @property
    def has_units(self) -> bool:
        """Whether results of whole numbers are numbers in the range rather than levels."""
        return self.ranged or (self.is_float and self.value_range != (0.0, 1.0))

    def format_of(self, dtype: np.dtype) -> PixelFormat:
        """Return how a file with these values is read."""
        fix = "clip the image to it with clip=true"  # a wider range would rescale all values
        if self.depth is None and not self.ranged:
            fix = "say which numbers become -1 and 1, with value_range=[lowest,highest]"
        low, high = self.value_range
        if self.is_float or self.ranged:
            depth = self.depth or 16
            return PixelFormat(depth, low, high, depth != "float", self.clip, fix)
        if dtype.kind in "iu":  # levels; other integers are refused
            return PixelFormat(8 if dtype == np.uint8 else 16)
        return PixelFormat("float", low, high, clip=self.clip, fix=fix)

    def result_dtype(self, dtype: np.dtype, depth: Depth | None = None) -> np.dtype:
        """Return the dtype of a result of this domain.

        Args:
            dtype: of the input.
            depth: the choice of the user; None: the deeper one of run and input.

        Raises:
            ImageFault: the range has numbers that the chosen depth cannot hold.
        """
        own = self.depth or 8
        levels: dict[str, Depth] = {"uint8": 8, "uint16": 16}
        given = levels.get(dtype.name, "float")
        if self.ranged and dtype.kind in "iu":
            given = own
        chosen: Depth = depth or (given if _ORDER.index(given) > _ORDER.index(own) else own)
        if chosen == "float" or not self.has_units:
            return _DTYPES[chosen]
        if whole := _whole_dtype(self.value_range, chosen):
            return whole
        if depth is None:
            return _DTYPES["float"]
        low, high = self.value_range
        raise ImageFault(
            f"has results in [{low:g},{high:g}], which {depth} bits cannot hold: use "
            f"{'depth=16 or ' if depth == 8 else ''}depth=float"
        )


def run_pixels(
    data: dict[str, Any],
    stream: str = "image",
    value_range: Sequence[float] | None = None,
    clip: bool | None = None,
) -> RunPixels:
    """Return what a snapshot's description of its data says about the pixels of a domain.

    Args:
        data: `describe()` of the data set, or {}.
        stream: "a", "b" or "image".
        value_range: overrides the recorded one; None: that, or else [0, 1].
        clip: overrides the recorded one.
    """
    depth = data.get("depth")
    depth = depth if depth in (8, 16, "float") else None
    own = (data.get("pixels") or {}).get(stream)
    if own is None:  # before ranges were for integers
        own = {"value_range": data.get("value_range") if depth not in (8, 16) else None}
    limits = value_range or own.get("value_range")
    low, high = map(float, limits or (0.0, 1.0))
    ranged = value_range is not None or (limits is not None and depth in (8, 16))
    return RunPixels(
        depth,
        (low, high),
        ranged and depth != "float",
        bool(own.get("clip")) if clip is None else clip,
        own.get("alpha"),
        int(own.get("stacked") or 1),
    )


def run_formats(data: dict[str, Any], **given: Any) -> Formats:
    """Return how a run reads files that may mean several things.

    Args:
        data: `describe()` of the data set, or {}.
        given: settings of the command, which override the recorded ones unless they are None.
    """
    recorded = data.get("formats") or {}
    chosen = {key: recorded.get(key) if value is None else value for key, value in given.items()}
    return make_formats(**chosen, prefix="")


@dataclass(frozen=True)
class LoadedImage:
    """An image as input of a network, and the properties of its file.

    Args:
        x: float32 [C, H, W] in [-1, 1].
        dtype: of the file's values.
        note: what had to be changed for the network, or "".
        alpha: whether the last channel is alpha.
        clipped: number of values that were clipped.
    """

    x: Tensor
    dtype: np.dtype
    note: str
    alpha: bool
    clipped: int


def read(file: AnyFile, channels: int, run: RunPixels) -> LoadedImage:
    """Read an image file.

    Args:
        file: the file.
        channels: channels of the network's input; the image is converted if possible.
        run: the pixels of its domain.

    Raises:
        ImageFault: the file cannot be read or converted.
    """
    picture = decode(file)
    pixel_format = run.format_of(picture.pixels.dtype)
    numbers = pixel_format.convert(picture.pixels)
    image = to_channels(picture._replace(pixels=numbers), channels)
    if run.alpha is not None and channels in (2, 4) and image.alpha != run.alpha:
        kinds = {True: "alpha", False: "another band"}
        raise ImageFault(
            f"has {kinds[image.alpha]} as its last channel, and the run was trained on "
            f"{kinds[run.alpha]} there"
        )
    x = to_float(torch.from_numpy(np.ascontiguousarray(pixel_format.to_output(image.pixels))))
    clipped = pixel_format.outside(picture.pixels)
    return LoadedImage(x.permute(2, 0, 1), picture.pixels.dtype, picture.note, image.alpha, clipped)


def read_result(path: Path, run: RunPixels) -> Tensor:
    """Read a file that `write` has written, as float32 [C, H, W] in [-1, 1].

    Raises:
        ImageFault: the file cannot be read.
    """
    array = decode(View(path, _RESULT)).pixels
    if array.dtype.kind == "f" or run.has_units:
        low, high = run.value_range
        x = torch.from_numpy((array.astype(np.float32) - low) * (2 / (high - low)) - 1).float()
    else:
        x = to_float(torch.from_numpy(array))
    return x.permute(2, 0, 1)


def write(
    path: Path,
    x: Tensor,
    dtype: np.dtype,
    run: RunPixels,
    alpha: bool = False,
    extras: Extras = NO_EXTRAS,
) -> None:
    """Write an image file.

    Args:
        path: the file; its suffix sets the format.
        x: float [C, H, W] in [-1, 1].
        dtype: from `RunPixels.result_dtype`.
        run: the pixels of its domain.
        alpha: whether the last channel is alpha.
        extras: what else the file says, if its format can.

    Raises:
        ImageFault: the format cannot store the image.
    """
    x = x.permute(1, 2, 0)
    if dtype == np.float32 or run.has_units:
        low, high = run.value_range
        # Numbers up to 2^24 come back exactly only if they are computed in float64.
        numbers = (x.double().clamp(-1, 1).numpy() + 1) * ((high - low) / 2) + low
        array = numbers.astype(dtype) if dtype == np.float32 else np.rint(numbers).astype(dtype)
    else:
        array = to_integers(x, torch.uint16 if dtype == np.uint16 else torch.uint8).numpy()
    write_image(path, array, alpha, extras)


def _whole_dtype(value_range: tuple[float, float], bits: int) -> np.dtype | None:
    """Return the integers of so many bits that hold a range; None: none do."""
    low, high = value_range
    for name in (f"uint{bits}", f"int{bits}"):
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return np.dtype(name)
    return None
