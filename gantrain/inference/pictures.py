"""What the images of a data set look like: those of data=colorize are shown and measured in RGB."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gantrain.data.base import Dataset
from gantrain.ops.lab import join_rgb, split_rgb
from gantrain.ops.value_range import to_float, to_uint8
from gantrain.tracking.grids import shown_bands, to_image

# (images [..., C, H, W], the images they are translations or partners of) -> how they look
Look = Callable[[Tensor, Tensor | None], Tensor]
Translate = Callable[[Tensor], Tensor]  # images [N, C, H, W] in [-1, 1] to theirs
LAB = "L / 50 - 1 to (a, b) / 110 of CIE Lab (sRGB, D65)"
_PIXELS = 2**20  # converted at once, in float64


def is_lab(data: dict[str, Any]) -> bool:
    """Return whether a network turns lightness into colours, see `gantrain.ops.lab`.

    Args:
        data: `describe()` of its data set, or {}.
    """
    return data.get("space") == "lab"


def look_of(data: dict[str, Any]) -> Look:
    """Return what turns images of a data set, or results for them, into what is looked at.

    Args:
        data: `describe()` of the data set, or {}.
    """
    return _rgb if is_lab(data) else unchanged


def look_of_columns(data: dict[str, Any]) -> Callable[[dict[str, Tensor], dict[str, Tensor]], Any]:
    """Return `look_of` for the columns of a grid: (columns, the inputs "a") -> columns."""
    look = look_of(data)

    def apply(columns: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: look(images, inputs.get("a")) for name, images in columns.items()}

    return apply


def seen_items(
    data: Dataset, get: Callable[[str, int], np.ndarray], stream: str
) -> Callable[[int], np.ndarray]:
    """Return a function from an index to the image of a stream as it looks.

    Args:
        data: the data set.
        get: its `train_item` or `test_item`.
        stream: of the images.
    """
    look = look_of(data.describe())
    if look is unchanged:
        return partial(get, stream)

    def seen(index: int) -> np.ndarray:
        image, source = (torch.from_numpy(get(name, index)) for name in (stream, "a"))
        return look(image, source).numpy()

    return seen


def of_pictures(translate: Translate, data: dict[str, Any]) -> Translate:
    """Return a function that translates pictures, given one for the images of the networks.

    With data=colorize, these are L and its colours, and a picture is RGB: its L gets new colours.

    Args:
        translate: of the network.
        data: `describe()` of its data set, or {}.
    """
    return partial(_colorize, translate) if is_lab(data) else translate


def to_picture(x: Tensor, data: dict[str, Any], alpha: bool = True) -> Image.Image:
    """Return an image [C, H, W] in [-1, 1] as a picture of 8 bits, of the bands that are shown.

    Args:
        x: the image.
        data: `describe()` of its data set, or {}.
        alpha: whether the last of 2 or 4 channels is alpha.
    """
    return to_image(np.asarray(shown_bands(to_uint8(x), data.get("show"), alpha)))


def unchanged(x: Tensor, source: Tensor | None) -> Tensor:
    """Return images that look as they are."""
    return x


def _rgb(x: Tensor, source: Tensor | None) -> Tensor:
    """Return RGB float32 [..., 3, H, W] in [-1, 1] of lightness, as grey, or of colours.

    Args:
        x: [..., 1, H, W] lightness, or [..., 2, H, W] colours.
        source: the lightness of these colours.
    """
    lightness, colors = x, None
    if x.shape[-3] == 2:
        assert source is not None, "colours are seen with their lightness"
        lightness, colors = source, x
    if colors is None:
        colors = torch.zeros_like(x).expand(*x.shape[:-3], 2, *x.shape[-2:])

    def join(L: np.ndarray, ab: np.ndarray) -> np.ndarray:
        return (join_rgb(L, ab) * 2 - 1).astype(np.float32)

    return _in_bands(join, lightness, colors)


def _colorize(translate: Translate, rgb: Tensor) -> Tensor:
    """Return pictures [N, 3, H, W] in [-1, 1] with new colours, on the CPU."""

    def split(x: np.ndarray) -> np.ndarray:
        return split_rgb(np.clip(x.astype(np.float64) / 2 + 0.5, 0, 1))[0]

    lightness = _in_bands(split, rgb)
    return _rgb(translate(lightness), lightness)


def _in_bands(function: Callable[..., np.ndarray], *images: Tensor) -> Tensor:
    """Apply a function of pixels to arrays [..., C, H, W] band by band, which bounds the memory."""
    arrays = [to_float(x).detach().float().cpu().numpy() for x in images]
    height = arrays[0].shape[-2]
    rows = max(_PIXELS // max(arrays[0][..., 0, :].size, 1), 1)
    bands = [
        function(*(x[..., top : top + rows, :] for x in arrays)) for top in range(0, height, rows)
    ]
    return torch.from_numpy(np.concatenate(bands, axis=-2))
