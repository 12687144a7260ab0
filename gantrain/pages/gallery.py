"""A page that shows translations: one file, opened from disk."""

import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from torch import Tensor

from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import decode
from gantrain.inference import image_io
from gantrain.inference.inputs import TranslationTask
from gantrain.inference.model import Model
from gantrain.io.files import atomic_write
from gantrain.ops.value_range import to_uint8
from gantrain.pages.render import data_url, render
from gantrain.tracking.grids import to_image

PAGE = "index.html"
LARGEST = 2048 * 2048  # pixels: of larger pictures the way back is not shown
SIDE = 320  # pixels: larger pictures are shown smaller, and lead to the file


def write_gallery(
    output: Path,
    tasks: list[TranslationTask],
    model: Model,
    direction: str,
    channels: int,
    value_range: tuple[float, float],
) -> Path:
    """`output`/index.html with the pictures of `tasks`: input, result, and the way back if there
    is a network for it. Pictures that cannot be read are left out."""
    back = direction[::-1] if direction[::-1] in model.networks else None
    images = []
    for task in tasks:
        try:
            source = image_io.read(task.source, channels, value_range).x
            array, _ = decode(output / task.name)
            result = image_io.read(output / task.name, array.shape[-1], value_range).x
        except ImageFault:
            continue
        figures = [_figure("input", source), _figure("result", result, link=task.name)]
        if back and result[0].numel() <= LARGEST:
            again = model.translate(result[None], back)[0]
            figures.append(_figure("and back", again))
        images.append({"name": task.name, "figures": figures})
    text = render(
        "gallery.html",
        title=f"{model.algorithm}, {direction[0]} to {direction[1]}",
        about=f"{model.file}, {model.meta.get('nimg', 0) / 1000:g} kimg",
        images=images,
    )
    with atomic_write(output / PAGE) as file:
        file.write(text.encode())
    return output / PAGE


def _figure(caption: str, x: Tensor, link: str | None = None) -> dict[str, Any]:
    """Describe the figure of an image: float [C, H, W] in [-1, 1]; `link`: the file it leads to."""
    image = to_image(to_uint8(x).numpy())
    thumbnail = image.copy()
    thumbnail.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    kind = "png" if max(image.size) <= SIDE or thumbnail.mode in ("LA", "RGBA") else "jpeg"
    thumbnail.save(buffer, format=kind, quality=88)
    return {
        "caption": caption,
        "data": data_url(kind, buffer.getvalue()),
        "small": max(image.size) < 160,
        "link": quote(link) if link else None,
        "width": image.width,
        "height": image.height,
    }
