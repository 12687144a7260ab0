"""Many pictures on one sheet."""

import math
from collections.abc import Sequence

from PIL import Image

from gantrain.tracking.grids import GAP, MIN_SIDE

MOST_PIXELS = 64_000_000  # of a sheet: more can hardly be opened, nor looked at


def max_images(size: tuple[int, int]) -> int:
    """How many pictures of (width, height) a sheet takes at most."""
    width, height = _enlarged(size)
    return max(1, MOST_PIXELS // ((width + GAP) * (height + GAP)))


def image_grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """The pictures, all of one size, line by line on a sheet that is about as wide as high."""
    columns = best_columns(len(pictures), pictures[0].size)
    lines = [list(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return table(lines)


def best_columns(count: int, size: tuple[int, int]) -> int:
    """Columns for `count` pictures of (width, height): no more than 2 : 1 (where that can be), and
    of those with the fewest empty places the one nearest to a square, rather wide than high."""

    def judge(columns: int) -> tuple[bool, int, float, int]:
        lines = -(-count // columns)
        shape = abs(math.log(columns * size[0] / (lines * size[1])))
        stretched = shape > math.log(2) + 1e-9
        return stretched, 0 if stretched else lines * columns - count, shape, -columns

    return min(range(1, count + 1), key=judge)


def table(lines: Sequence[Sequence[Image.Image | None]]) -> Image.Image:
    """Pictures of one size and mode in lines and columns; None stays empty.

    Small ones are enlarged (nearest neighbour) to be seen. Empty places are white, or transparent
    where the pictures are RGBA.
    """
    first = next(picture for line in lines for picture in line if picture is not None)
    width, height = _enlarged(first.size)
    columns = max(map(len, lines))
    size = columns * (width + GAP) - GAP, len(lines) * (height + GAP) - GAP
    background = {"L": 255, "RGB": (255, 255, 255), "RGBA": (255, 255, 255, 0)}[first.mode]
    sheet = Image.new(first.mode, size, background)
    for i, line in enumerate(lines):
        for j, picture in enumerate(line):
            if picture is not None:
                cell = picture.resize((width, height), Image.Resampling.NEAREST)
                sheet.paste(cell, (j * (width + GAP), i * (height + GAP)))
    return sheet


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures of one size and mode, touching."""
    pair = Image.new(left.mode, (left.width + right.width, left.height))
    pair.paste(left, (0, 0))
    pair.paste(right, (left.width, 0))
    return pair


def _enlarged(size: tuple[int, int]) -> tuple[int, int]:
    scale = max(1, -(-MIN_SIDE // min(size)))
    return size[0] * scale, size[1] * scale
