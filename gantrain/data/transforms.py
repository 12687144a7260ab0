"""Turn images of any size into training images: a fixed, cacheable resize and a random crop."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from gantrain.data.bit_depth import resize
from gantrain.errors import ConfigError

PreprocessName = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
Resize = Literal["crop", "stretch", "none"]
Filter = Literal["lanczos", "box", "bicubic"]
Size = tuple[int, int]  # (height, width)

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
}

_CROPPING = ("resize_and_crop", "crop", "scale_width_and_crop")
_LOAD_RATIO = 286 / 256  # the reference's margin for the random crop


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes a training or test image.

    resize_and_crop: bicubic to `load_size`, ignoring the aspect; random crop of `resolution`.
    crop: random crop of `resolution` from the picture as it is.
    scale_width: width becomes `load_size`, the height follows the aspect but is at least
    `resolution`'s, rounded to `multiple`; no crop.
    scale_width_and_crop: the same, then a random crop of `resolution`.
    none: the picture as it is, its sides rounded to `multiple`; no crop.

    `load_size` None: resolution * 286 / 256 with a resize and a crop, `resolution` for scale_width.
    Test images: resize_and_crop resizes straight to `resolution`, a crop is central, no flip.
    """

    name: PreprocessName
    resolution: Size
    load_size: Size | None = None
    flip: bool = True
    multiple: int = 1

    @property
    def crops(self) -> bool:
        """Whether every result has the sides of `resolution`."""
        return self.name in _CROPPING

    @property
    def load(self) -> Size:
        """`load_size`, or what it is when not given."""
        if self.load_size is not None:
            return self.load_size
        if self.name in ("resize_and_crop", "scale_width_and_crop"):
            height, width = self.resolution
            return round(height * _LOAD_RATIO), round(width * _LOAD_RATIO)
        return self.resolution

    def resized(self, size: Size, test: bool = False) -> Size:
        """The size that `resize` gives a picture of `size`."""
        if self.name == "resize_and_crop":
            return self.resolution if test else self.load
        if self.name == "crop":
            return size
        if self.name == "none":
            return self._rounded(size[0]), self._rounded(size[1])
        width = self.load[1]
        height = max(round(width * size[0] / size[1]), self.resolution[0])
        return (height, width) if self.crops else (self._rounded(height), width)

    def size_fault(self, size: Size, test: bool = False) -> str:
        """What is wrong with a picture of `size`: a phrase that follows its name; "": nothing."""
        height, width = self.resized(size, test)
        wanted = self.resolution
        if not self.crops or (height >= wanted[0] and width >= wanted[1]):
            return ""
        return (
            f"is {size[1]} x {size[0]} pixels, smaller than the crop of {wanted[1]} x {wanted[0]}: "
            "use data.preprocess=resize_and_crop or a smaller data.resolution"
        )

    def resize(self, image: np.ndarray, test: bool = False) -> np.ndarray:
        """A picture [H, W, C] resized by Pillow's bicubic filter; the same every time."""
        size = self.resized((image.shape[0], image.shape[1]), test)
        return resize(image, size, Image.Resampling.BICUBIC)

    def augment(self, image: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """[C, h, w] from a resized [H, W, C]; `bits`: 3 random words (top, left, flip)."""
        if self.crops:
            room = image.shape[0] - self.resolution[0] + 1, image.shape[1] - self.resolution[1] + 1
            image = self._cut(image, int(bits[0]) % room[0], int(bits[1]) % room[1])
        if self.flip and int(bits[2]) >> 63:
            image = image[:, ::-1]
        return _channels_first(image)

    def centre(self, image: np.ndarray) -> np.ndarray:
        """[C, h, w]: the central crop of a resized [H, W, C], for tests."""
        if self.crops:
            height, width = self.resolution
            image = self._cut(image, (image.shape[0] - height) // 2, (image.shape[1] - width) // 2)
        return _channels_first(image)

    def _cut(self, image: np.ndarray, top: int, left: int) -> np.ndarray:
        height, width = self.resolution
        return image[top : top + height, left : left + width]

    def _rounded(self, side: int) -> int:
        return max(round(side / self.multiple), 1) * self.multiple


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


def setting_faults(preprocess: Preprocess) -> list[str]:
    """What is wrong with the sizes, whatever the pictures: sentences with the fix."""
    name, (height, width), multiple = preprocess.name, preprocess.resolution, preprocess.multiple
    load_height, load_width = preprocess.load
    faults = []
    if preprocess.crops and (height % multiple or width % multiple):
        faults.append(
            f"data.resolution={format_size(preprocess.resolution)} does not suit this model, whose "
            f"images need sides that are multiples of {multiple}: use "
            f"{format_size((round_up(height, multiple), round_up(width, multiple)))}."
        )
    if name == "scale_width" and load_width % multiple:
        faults.append(
            f"data.load_size={load_width} is the width that preprocess=scale_width gives, and this "
            f"model needs a multiple of {multiple}: use {round_up(load_width, multiple)}."
        )
    small = load_width < width or (name == "resize_and_crop" and load_height < height)
    if name in ("resize_and_crop", "scale_width_and_crop") and small:
        faults.append(
            f"data.load_size={format_size(preprocess.load)} is smaller than the crop of "
            f"data.resolution={format_size(preprocess.resolution)}: make it at least as large, "
            "or null for the usual margin."
        )
    return faults


def _channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def round_up(side: int, multiple: int) -> int:
    """The next multiple of `multiple` from `side` on."""
    return -(-side // multiple) * multiple


def parse_size(key: str, value: int | list[int]) -> Size:
    """(height, width) of data.`key`, a number or [height, width]. Raises ConfigError."""
    given = [value, value] if isinstance(value, int) else list(value)
    if len(given) != 2 or any(side < 1 for side in given):
        raise ConfigError(
            f"data.{key}={value} is no image size: give a positive number or [height,width]."
        )
    return given[0], given[1]


def format_size(size: Size) -> str:
    """As a user writes it: "64" or "[48,64]"."""
    return str(size[0]) if size[0] == size[1] else f"[{size[0]},{size[1]}]"
