"""Contact sheets: many images in one."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from gantrain.tracking.grids import FONT, GAP, HEADER, MIN_SIDE, fit_text

BACKGROUNDS = {"L": 255, "LA": (255, 0), "RGB": (255, 255, 255), "RGBA": (255, 255, 255, 0)}
_BLACK = {"L": 0, "LA": (0, 255), "RGB": (0, 0, 0), "RGBA": (0, 0, 0, 255)}
MAX_PIXELS = 64_000_000  # of a sheet; larger ones can hardly be opened


def max_images(size: tuple[int, int]) -> int:
    """Return how many images of (width, height) fit on a sheet."""
    width, height = _enlarged(size)
    return max(1, MAX_PIXELS // ((width + GAP) * (height + HEADER + GAP)))


def image_grid(
    images: Sequence[Image.Image], captions: Sequence[str] = (), columns: int | None = None
) -> Image.Image:
    """Arrange images of one size row by row on a sheet.

    Args:
        images: of one size and mode.
        captions: one per image, written below it; (): none.
        columns: how many; None: as many as make the sheet nearly square.
    """
    columns = columns or best_columns(len(images), images[0].size)
    cells = list(images)
    if captions:
        cells = [_with_caption(*pair) for pair in zip(images, captions, strict=True)]
    rows = [list(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return image_table(rows)


def _with_caption(image: Image.Image, text: str) -> Image.Image:
    """Return the image, enlarged as on a sheet, above a line of text."""
    width, height = _enlarged(image.size)
    cell = Image.new(image.mode, (width, height + HEADER), BACKGROUNDS[image.mode])
    cell.paste(image.resize((width, height), Image.Resampling.NEAREST))
    position, black = (2, height + 1), _BLACK[image.mode]
    ImageDraw.Draw(cell).text(position, fit_text(text, width - 4), fill=black, font=FONT)
    return cell


def best_columns(count: int, size: tuple[int, int]) -> int:
    """Return the number of columns for a sheet.

    Sheets within 2 : 1 are preferred, then few empty cells, then nearly square ones, then wide
    ones.

    Args:
        count: number of images.
        size: (width, height) of an image.
    """

    def cost(columns: int) -> tuple[bool, int, float, int]:
        rows = -(-count // columns)
        log_ratio = abs(math.log(columns * size[0] / (rows * size[1])))
        is_stretched = log_ratio > math.log(2) + 1e-9
        empty = 0 if is_stretched else rows * columns - count
        return is_stretched, empty, log_ratio, -columns

    return min(range(1, count + 1), key=cost)


def image_table(rows: Sequence[Sequence[Image.Image | None]]) -> Image.Image:
    """Arrange images in rows and columns.

    Small images are enlarged by nearest neighbour. Empty cells are white, or transparent if the
    images have alpha.

    Args:
        rows: images of one size and mode; None is an empty cell.
    """
    first = next(image for row in rows for image in row if image is not None)
    width, height = _enlarged(first.size)
    columns = max(map(len, rows))
    size = columns * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP
    sheet = Image.new(first.mode, size, BACKGROUNDS[first.mode])
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            if image is not None:
                cell = image.resize((width, height), Image.Resampling.NEAREST)
                sheet.paste(cell, (j * (width + GAP), i * (height + GAP)))
    return sheet


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Join two images of one size and mode without a gap."""
    pair = Image.new(left.mode, (left.width + right.width, left.height))
    pair.paste(left, (0, 0))
    pair.paste(right, (left.width, 0))
    return pair


def _enlarged(size: tuple[int, int]) -> tuple[int, int]:
    scale = max(1, -(-MIN_SIDE // min(size)))
    return size[0] * scale, size[1] * scale
