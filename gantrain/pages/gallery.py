"""The gallery of translations: a single HTML file."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from torch import Tensor

from gantrain.data.bit_depth import ImageFault
from gantrain.inference import image_io
from gantrain.inference.image_io import RunPixels
from gantrain.inference.inputs import TranslationTask
from gantrain.inference.model import Model
from gantrain.inference.translation import picture_channels
from gantrain.io.files import write_text
from gantrain.ops.value_range import to_uint8
from gantrain.pages.render import data_url, render
from gantrain.tracking.grids import shown_bands, to_image

PAGE_FILE = "index.html"
MAX_BACK_PIXELS = 2048 * 2048  # larger images are not translated back
THUMBNAIL_SIDE = 320  # pixels; larger images are scaled down


def write_gallery(
    output: Path,
    tasks: list[TranslationTask],
    model: Model,
    direction: str,
    source: RunPixels,
    target: RunPixels,
) -> Path:
    """Write `output`/index.html with inputs and results, and back-translations if possible.

    Unreadable images are skipped.

    Args:
        output: the folder of the results.
        tasks: the translations to show.
        model: the snapshot.
        direction: "ab" or "ba".
        source: the pixels of the inputs' domain.
        target: the pixels of the results' domain.

    Returns:
        The path of the page.
    """
    data = model.meta.get("data", {})
    channels, show = picture_channels(model.translator(direction), data)[0] or 3, data.get("show")
    back = direction[::-1] if direction[::-1] in model.networks else None
    images = []
    for task in tasks:
        try:
            loaded = image_io.read(task.source, channels, source)
            result = image_io.read_result(output / task.name, target)
        except ImageFault:
            continue
        alphas = loaded.alpha, target.alpha is not False
        figures = [
            _figure("input", loaded.x, show, alphas[0]),
            _figure("result", result, show, alphas[1], link=task.name),
        ]
        if back and result[0].numel() <= MAX_BACK_PIXELS:
            reconstruction = model.translate(result[None], back)[0]
            figures.append(_figure("and back", reconstruction, show, alphas[0]))
        images.append({"name": task.name, "figures": figures})
    text = render(
        "gallery.html",
        title=f"{model.algorithm}, {direction[0]} to {direction[1]}",
        about=f"{model.file}, {model.meta.get('nimg', 0) / 1000:g} kimg",
        images=images,
    )
    write_text(output / PAGE_FILE, text)
    return output / PAGE_FILE


def _figure(
    caption: str, x: Tensor, show: Sequence[int] | None, alpha: bool, link: str | None = None
) -> dict[str, Any]:
    """Return the values of a figure for the template.

    Args:
        caption: its caption.
        x: the image, float [C, H, W] in [-1, 1].
        show: bands to show, from 1, see `shown_bands`.
        alpha: whether its last channel is alpha.
        link: the file that the figure links to.
    """
    image = to_image(shown_bands(to_uint8(x), show, alpha).numpy())
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
