"""How a picture of any size becomes a training image for generation; the same every time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from gantrain.data.bit_depth import resize
from gantrain.data.transforms import Size

Resize = Literal["crop", "stretch", "none"]
Filter = Literal["lanczos", "box", "bicubic"]
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class FitResize:
    """To `resolution` (h, w), with Pillow's filters, which average when they shrink.

    crop: the largest central part of the right aspect, resized. stretch: the whole picture.
    none: nothing; pictures must have the size already.
    """

    name: Resize
    filter: Filter
    resolution: Size
    flip: bool = False

    @property
    def load(self) -> Size:
        """The size of the result."""
        return self.resolution

    def resized(self, size: Size, test: bool = False) -> Size:
        """The size that `resize` gives a picture of `size`."""
        return size if self.name == "none" else self.resolution

    def size_fault(self, size: Size, test: bool = False) -> str:
        """What is wrong with a picture of `size`: a phrase that follows its name; "": nothing."""
        if self.name != "none" or size == self.resolution:
            return ""
        height, width = self.resolution
        return (
            f"is {size[1]} x {size[0]} pixels, not {width} x {height}: use data.resize=crop or "
            "stretch, or its data.resolution"
        )

    def resize(self, image: np.ndarray, test: bool = False) -> np.ndarray:
        """[h, w, C] of a picture [H, W, C]."""
        height, width = self.resolution
        if self.name == "none":
            return image
        if self.name == "crop":
            left, top, right, bottom = _central(image.shape[:2], width / height)
            image = np.ascontiguousarray(image[top:bottom, left:right])
        return resize(image, (height, width), FILTERS[self.filter])


def _central(size: tuple[int, ...], aspect: float) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest centred box of width / height = aspect."""
    height, width = size
    w = max(min(width, round(height * aspect)), 1)
    h = max(min(height, round(width / aspect)), 1)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
