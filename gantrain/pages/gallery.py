"""A page that shows translations: one file, opened from disk."""

import base64
import html
import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import decode
from gantrain.inference import image_io
from gantrain.inference.inputs import TranslationTask
from gantrain.inference.model import Model
from gantrain.io.files import atomic_write
from gantrain.ops.value_range import to_uint8
from gantrain.tracking.grids import to_image

PAGE = "index.html"
LARGEST = 2048 * 2048  # pixels: of larger pictures the way back is not shown
SIDE = 320  # pixels: larger pictures are shown smaller, and lead to the file
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; }
p { margin-top: 0; opacity: .75; }
section { border-top: 1px solid #8884; padding: 1rem 0; }
h2 { font-size: 1rem; font-weight: 500; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; }
img { display: block; max-width: 100%; image-rendering: auto; border-radius: 3px; }
img.small { image-rendering: pixelated; width: 192px; }
figcaption { font-size: .85rem; opacity: .75; }
@media print { section { break-inside: avoid; } body { margin: 0; } }
"""


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
    rows = []
    for task in tasks:
        try:
            source = image_io.read(task.source, channels, value_range).x
            array, _ = decode(output / task.name)
            result = image_io.read(output / task.name, array.shape[-1], value_range).x
        except ImageFault:
            continue
        figures = [("input", _shown(source), None), ("result", _shown(result), task.name)]
        if back and result[0].numel() <= LARGEST:
            again = model.translate(result[None], back)[0]
            figures.append(("and back", _shown(again), None))
        shown = "".join(_figure(*figure) for figure in figures)
        rows.append(
            f'<section><h2>{html.escape(task.name)}</h2><div class="row">{shown}</div></section>'
        )
    names = f"{direction[0]} to {direction[1]}"
    title = html.escape(f"{model.algorithm}, {names}")
    about = html.escape(f"{model.file}, {model.meta.get('nimg', 0) / 1000:g} kimg")
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><h1>{title}</h1><p>{about}</p>{''.join(rows)}</html>\n"
    )
    with atomic_write(output / PAGE) as file:
        file.write(text.encode())
    return output / PAGE


def _shown(x: Tensor) -> Image.Image:
    """float [C, H, W] in [-1, 1] with 8 bits."""
    return to_image(to_uint8(x).numpy())


def _figure(caption: str, image: Image.Image, link: str | None) -> str:
    """The picture inside the page; a click leads to the file."""
    thumb = image.copy()
    thumb.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= SIDE or thumb.mode in ("LA", "RGBA"):
        kind = "png"
        thumb.save(buffer, format="PNG")
    else:
        kind = "jpeg"
        thumb.save(buffer, format="JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    small = ' class="small"' if max(image.size) < 160 else ""
    tag = f'<img{small} alt="{caption}" src="data:image/{kind};base64,{data}">'
    if link:
        tag = f'<a href="{html.escape(link, quote=True)}">{tag}</a>'
    return (
        f"<figure>{tag}<figcaption>{caption}, {image.width} x {image.height}</figcaption></figure>"
    )
