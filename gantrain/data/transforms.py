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
Interpolation = Literal["bicubic", "nearest"]
Size = tuple[int, int]  # (height, width)

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}

_CROPPING = ("resize_and_crop", "crop", "scale_width_and_crop")
_LOAD_RATIO = 286 / 256  # the reference's margin for the random crop


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop and mirroring of a set of two domains.

    resize_and_crop: resize to `load_size` without keeping the aspect ratio, random crop.
    crop: random crop of the image at its own size.
    scale_width: resize to the width of `load_size`, keeping the aspect ratio, with at least the
    height of `resolution`, rounded to `multiple`; no crop.
    scale_width_and_crop: the same without rounding, then a random crop.
    none: sides rounded to `multiple`; no crop.

    Test images are not mirrored, their crop is central, and resize_and_crop resizes them to
    `resolution` directly.

    Args:
        name: one of the above.
        resolution: (height, width) of the crop.
        load_size: (height, width) of the resize; None: resolution * 286 / 256 with a crop,
            `resolution` without.
        flip: whether training images are mirrored at random.
        multiple: image sides must be multiples of it.
        interpolation: of the resize; "nearest" does not mix the colours of label maps.
    """

    name: PreprocessName
    resolution: Size
    load_size: Size | None = None
    flip: bool = True
    multiple: int = 1
    interpolation: Interpolation = "bicubic"

    @property
    def crops(self) -> bool:
        """Whether images are cropped to `resolution`."""
        return self.name in _CROPPING

    @property
    def load(self) -> Size:
        """`load_size` or its default."""
        if self.load_size is not None:
            return self.load_size
        if self.name in ("resize_and_crop", "scale_width_and_crop"):
            height, width = self.resolution
            return round(height * _LOAD_RATIO), round(width * _LOAD_RATIO)
        return self.resolution

    def resized(self, size: Size, test: bool = False) -> Size:
        """Return (height, width) of an image of `size` after `resize`.

        Args:
            size: (height, width) in pixels.
            test: whether it is a test image, which is not cropped at random.
        """
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
        """Return why an image of `size` cannot be used, a phrase that follows its name, or ""."""
        height, width = self.resized(size, test)
        crop = self.resolution
        if not self.crops or (height >= crop[0] and width >= crop[1]):
            return ""
        return (
            f"is {size[1]} x {size[0]} pixels, smaller than the crop of {crop[1]} x {crop[0]}: "
            "use data.preprocess=resize_and_crop or a smaller data.resolution"
        )

    def resize(self, image: np.ndarray, test: bool = False, alpha: bool = False) -> np.ndarray:
        """Resize an image [H, W, C]; deterministic, so the result can be cached.

        Args:
            image: [H, W, C].
            test: see `resized`.
            alpha: whether the last channel is alpha, by which the others are weighted.

        Returns:
            [h, w, C] in the dtype of the image.
        """
        size = self.resized((image.shape[0], image.shape[1]), test)
        return resize(image, size, FILTERS[self.interpolation], alpha)

    def augment(self, image: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """Crop and mirror a resized image at random.

        Args:
            image: [H, W, C].
            bits: 3 random words: top, left, mirroring.

        Returns:
            [C, h, w].
        """
        if self.crops:
            height, width = self.resolution
            tops, lefts = image.shape[0] - height + 1, image.shape[1] - width + 1
            image = self._crop(image, int(bits[0]) % tops, int(bits[1]) % lefts)
        if self.flip and int(bits[2]) >> 63:
            image = image[:, ::-1]
        return _channels_first(image)

    def center_crop(self, image: np.ndarray) -> np.ndarray:
        """Return the central crop [C, h, w] of a resized image [H, W, C]."""
        if self.crops:
            height, width = self.resolution
            image = self._crop(image, (image.shape[0] - height) // 2, (image.shape[1] - width) // 2)
        return _channels_first(image)

    def _crop(self, image: np.ndarray, top: int, left: int) -> np.ndarray:
        height, width = self.resolution
        return image[top : top + height, left : left + width]

    def _rounded(self, side: int) -> int:
        return max(round(side / self.multiple), 1) * self.multiple


@dataclass(frozen=True)
class FitResize:
    """Resize of a set of single images, with Pillow's filters, which average when downsampling.

    Args:
        name: "crop": center crop to the aspect ratio of `resolution`, then resize. "stretch":
            resize without keeping the aspect ratio. "none": images must have the size already.
        filter: of the resize.
        resolution: (height, width).
        flip: whether training images are mirrored at random.
    """

    name: Resize
    filter: Filter
    resolution: Size
    flip: bool = False

    @property
    def load(self) -> Size:
        """(height, width) of the result."""
        return self.resolution

    def resized(self, size: Size, test: bool = False) -> Size:
        """Return (height, width) of an image of `size` after `resize`."""
        return size if self.name == "none" else self.resolution

    def size_fault(self, size: Size, test: bool = False) -> str:
        """Return why an image of `size` cannot be used, a phrase that follows its name, or ""."""
        if self.name != "none" or size == self.resolution:
            return ""
        height, width = self.resolution
        return (
            f"is {size[1]} x {size[0]} pixels, not {width} x {height}: use data.resize=crop or "
            "stretch, or set data.resolution to its size"
        )

    def resize(self, image: np.ndarray, test: bool = False, alpha: bool = False) -> np.ndarray:
        """Resize an image [H, W, C] to [h, w, C], see `Preprocess.resize`."""
        height, width = self.resolution
        if self.name == "none":
            return image
        if self.name == "crop":
            left, top, right, bottom = _central_box(image.shape[:2], width / height)
            image = np.ascontiguousarray(image[top:bottom, left:right])
        return resize(image, (height, width), FILTERS[self.filter], alpha)


def _central_box(size: tuple[int, ...], aspect: float) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the largest centred box with width / height = aspect."""
    height, width = size
    w = max(min(width, round(height * aspect)), 1)
    h = max(min(height, round(width / aspect)), 1)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def setting_faults(preprocess: Preprocess) -> list[str]:
    """Return a sentence for each size in the settings that cannot work, whatever the images."""
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
    # Always a copy: one channel is contiguous as it is, and may be a read-only array of Pillow or
    # of a cache, of which torch warns.
    return np.array(image.transpose(2, 0, 1), order="C")


def round_up(side: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is not below `side`.

    Args:
        side: in pixels.
        multiple: in pixels.
    """
    return -(-side // multiple) * multiple


def parse_size(key: str, value: int | list[int]) -> Size:
    """Return (height, width) of a setting.

    Args:
        key: name of the setting without "data.".
        value: a number or [height, width].

    Raises:
        ConfigError: the value is neither.
    """
    sides = [value, value] if isinstance(value, int) else list(value)
    if len(sides) != 2 or any(side < 1 for side in sides):
        raise ConfigError(
            f"data.{key}={value} is not an image size: give a positive number or [height,width]."
        )
    return sides[0], sides[1]


def format_size(size: Size) -> str:
    """Return a size as a user writes it: "64" or "[48,64]"."""
    return str(size[0]) if size[0] == size[1] else f"[{size[0]},{size[1]}]"
