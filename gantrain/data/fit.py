"""How a picture of any size becomes a training image for generation; the same every time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from gantrain.data.transforms import Size

Resize = Literal["crop", "stretch", "none"]
Filter = Literal["lanczos", "box", "bicubic"]
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class Fit:
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

    def resize(self, image: Image.Image, test: bool = False) -> np.ndarray:
        """uint8 [h, w, C] of a picture."""
        height, width = self.resolution
        if self.name == "crop":
            image = image.crop(_central(image.size, width / height))
        if image.size != (width, height) and self.name != "none":
            image = image.resize((width, height), FILTERS[self.filter])
        array = np.asarray(image)
        return array if array.ndim == 3 else array[:, :, None]


def _central(size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest centred box of width / height = aspect."""
    width, height = size
    w = max(min(width, round(height * aspect)), 1)
    h = max(min(height, round(width / aspect)), 1)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
