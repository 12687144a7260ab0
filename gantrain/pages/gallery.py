"""The gallery of translations: a single HTML file."""

import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from torch import Tensor

from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import decode
from gantrain.inference import image_io
from gantrain.inference.image_io import RunPixels
from gantrain.inference.inputs import TranslationTask
from gantrain.inference.model import Model
from gantrain.io.files import write_text
from gantrain.ops.value_range import to_uint8
from gantrain.pages.render import data_url, render
from gantrain.tracking.grids import to_image

PAGE_FILE = "index.html"
MAX_BACK_PIXELS = 2048 * 2048  # larger images are not translated back
THUMBNAIL_SIDE = 320  # pixels; larger images are scaled down


def write_gallery(
    output: Path,
    tasks: list[TranslationTask],
    model: Model,
    direction: str,
    channels: int,
    pixels: RunPixels,
) -> Path:
    """Write `output`/index.html with inputs and results, and back-translations if possible.

    Unreadable images are skipped.

    Args:
        output: the folder of the results.
        tasks: the translations to show.
        model: the snapshot.
        direction: "ab" or "ba".
        channels: of the input.
        pixels: the pixels of the run.

    Returns:
        The path of the page.
    """
    back = direction[::-1] if direction[::-1] in model.networks else None
    images = []
    for task in tasks:
        try:
            source = image_io.read(task.source, channels, pixels).x
            array, _ = decode(output / task.name)
            result = image_io.read(output / task.name, array.shape[-1], pixels).x
        except ImageFault:
            continue
        figures = [_figure("input", source), _figure("result", result, link=task.name)]
        if back and result[0].numel() <= MAX_BACK_PIXELS:
            reconstruction = model.translate(result[None], back)[0]
            figures.append(_figure("and back", reconstruction))
        images.append({"name": task.name, "figures": figures})
    text = render(
        "gallery.html",
        title=f"{model.algorithm}, {direction[0]} to {direction[1]}",
        about=f"{model.file}, {model.meta.get('nimg', 0) / 1000:g} kimg",
        images=images,
    )
    write_text(output / PAGE_FILE, text)
    return output / PAGE_FILE


def _figure(caption: str, x: Tensor, link: str | None = None) -> dict[str, Any]:
    """Return the values of a figure for the template.

    Args:
        caption: its caption.
        x: the image, float [C, H, W] in [-1, 1].
        link: the file that the figure links to.
    """
    image = to_image(to_uint8(x).numpy())
    thumbnail = image.copy()
    thumbnail.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    is_small = max(image.size) <= THUMBNAIL_SIDE
    kind = "png" if is_small or thumbnail.mode in ("LA", "RGBA") else "jpeg"
    thumbnail.save(buffer, format=kind, quality=88)
    return {
        "caption": caption,
        "data": data_url(kind, buffer.getvalue()),
        "small": max(image.size) < 160,
        "link": quote(link) if link else None,
        "width": image.width,
        "height": image.height,
    }
