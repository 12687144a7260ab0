"""Pictures that hold a pair side by side: their left and their right half."""

from typing import Literal

import numpy as np

from gantrain.data.transforms import Size

Half = Literal["left", "right"]
_NEARLY_ALL = 0.9


def half_of(image: np.ndarray, half: Half | None) -> np.ndarray:
    """Return a half [H, W / 2, ...] of a picture [H, W, ...]; None: all of it."""
    if half is None:
        return image
    middle = image.shape[1] // 2
    return image[:, :middle] if half == "left" else image[:, middle:]


def half_fault(size: Size) -> str:
    """Return why a picture of (height, width) is no pair, a phrase that follows its name, or ""."""
    height, width = size
    if width % 2:
        return f"is {width} pixels wide, an odd number: its halves would differ in size"
    if width < height:
        return (
            f"is {width} x {height} pixels, so its halves would be {width // 2} x {height}: it "
            "looks like one image, not like two side by side"
        )
    return ""


def whole_pictures(sizes: list[Size]) -> set[int]:
    """Return the indices of pictures that look like one image among pairs.

    Nearly all halves have one aspect ratio then, and it is that of the whole picture.

    Args:
        sizes: (height, width) of the halves of all pictures.
    """
    ratios = [width / height for height, width in sizes]
    usual = sorted(ratios)[len(ratios) // 2] if ratios else 1.0
    if sum(_are_near(ratio, usual) for ratio in ratios) < _NEARLY_ALL * len(ratios):
        return set()
    return {i for i, ratio in enumerate(ratios) if _are_near(2 * ratio, usual)}


def _are_near(a: float, b: float) -> bool:
    return abs(a - b) <= 0.02 * b
