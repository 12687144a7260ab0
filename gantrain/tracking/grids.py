"""Sample grids: named columns of images in one PNG."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from gantrain.io.files import atomic_write
from gantrain.ops.value_range import to_uint8

GAP = 2  # pixels between images
HEADER = 14  # pixels for a column's name
MAX_NAME = 160  # pixels of a row's name
FONT = ImageFont.load_default(10)
MIN_SIDE = 96  # pixels; smaller images are enlarged by nearest neighbour
THUMBNAIL = 128  # pixels; larger images are averaged to about this


def shown_bands(x: Tensor, show: Sequence[int] | None = None, alpha: bool = True) -> Tensor:
    """Return the channels of images that are shown, 1 to 4 of them.

    Images with up to 3 channels are shown as they are, and so are those with alpha.

    Args:
        x: [..., C, H, W].
        show: one or three channels, from 1, of images with more than 3; None, or if they have no
            such channels: the first three.
        alpha: whether the last of 2 or 4 channels is alpha.
    """
    channels = x.shape[-3]
    if channels in (1, 3):
        return x
    if channels > 3 and show and max(show) <= channels:
        return x[..., [band - 1 for band in show], :, :]
    if channels in (2, 4) and alpha:
        return x
    return x[..., : 3 if channels > 2 else 1, :, :]


def thumbnails(images: Tensor) -> Tensor:
    """Return images for a sheet of very many.

    Args:
        images: [N, C, H, W] about [-1, 1].

    Returns:
        The same in [-1, 1], on the CPU, at a half, a third, ... of their size, so that the longer
        side is below twice `THUMBNAIL`.
    """
    factor = max(images.shape[2:]) // THUMBNAIL
    return (F.avg_pool2d(images, factor) if factor > 1 else images).clamp(-1, 1).cpu()


def compose_grid(
    columns: dict[str, Tensor], rows: Sequence[str] = (), show: Sequence[int] | None = None
) -> Image.Image:
    """Return a grid with one row per image and one named column per entry.

    Args:
        columns: name to images [N, C, H, W] in [-1, 1], or uint8; sizes may differ between columns.
        rows: names of the rows, such as classes; (): none.
        show: see `shown_bands`.
    """
    blocks = [_column(name, shown_bands(images, show)) for name, images in columns.items()]
    if rows:
        count = max(len(images) for images in columns.values())
        blocks.insert(0, _row_names(rows[:count], max(blocks, key=lambda b: b.height), count))
    width = sum(block.width for block in blocks) + GAP * (len(blocks) - 1)
    grid = Image.new("RGB", (width, max(block.height for block in blocks)), "white")
    x = 0
    for block in blocks:
        grid.paste(block, (x, 0))
        x += block.width + GAP
    return grid


def _column(name: str, images: Tensor) -> Image.Image:
    pixels = to_uint8(images).cpu().numpy()
    _, _, h, w = pixels.shape
    scale = max(1, -(-MIN_SIDE // min(h, w)))
    h, w = h * scale, w * scale
    column = Image.new("RGB", (w, HEADER + (h + GAP) * len(pixels) - GAP), "white")
    ImageDraw.Draw(column).text((2, 1), name, fill="black", font=FONT)
    for row, image_pixels in enumerate(pixels):
        image = to_image(image_pixels).convert("RGB").resize((w, h), Image.Resampling.NEAREST)
        column.paste(image, (0, HEADER + (h + GAP) * row))
    return column


def _row_names(names: Sequence[str], beside: Image.Image, count: int) -> Image.Image:
    """Return the names, each at the middle of its row of `count` beside the highest column."""
    names = [fit_text(name, MAX_NAME) for name in names]
    width = 4 + math.ceil(max(FONT.getlength(name) for name in names))
    column = Image.new("RGB", (width, beside.height), "white")
    pitch = (beside.height - HEADER + GAP) / count
    for row, name in enumerate(names):
        middle = HEADER + pitch * row + (pitch - GAP) / 2
        ImageDraw.Draw(column).text((2, middle), name, fill="black", font=FONT, anchor="lm")
    return column


def fit_text(text: str, width: float) -> str:
    """Return a text of one line, shortened to `width` pixels."""
    text = " ".join(text.split())
    if FONT.getlength(text) <= width:
        return text
    while text and FONT.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def to_image(pixels: np.ndarray) -> Image.Image:
    """Convert uint8 [C, H, W] with 1 to 4 channels to an image of mode L, LA, RGB or RGBA."""
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return Image.fromarray(rows[..., 0] if rows.shape[-1] == 1 else rows)


def save_png(path: Path, image: Image.Image) -> None:
    """Write a PNG atomically."""
    with atomic_write(path) as file:
        image.save(file, format="PNG")
