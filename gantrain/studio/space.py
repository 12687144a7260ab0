"""What a Space makes of a model: one picture from a seed, or from another picture."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from gantrain.data.bit_depth import ImageFault
from gantrain.errors import ConfigError
from gantrain.inference import image_io
from gantrain.inference.image_io import run_pixels
from gantrain.inference.model import Model
from gantrain.inference.pictures import to_picture
from gantrain.inference.translation import picture_channels

MOST_PIXELS = 1024 * 1024  # of a photo; larger ones take a CPU long


def picture_of_seed(model: Model, seed: int, psi: float, label: str | int | None) -> Image.Image:
    """Return the picture of a seed.

    Args:
        model: with latents.
        seed: from 0.
        psi: truncation of a model with w; of others it is left out.
        label: class name or number; None or "": by the seed.

    Raises:
        ConfigError: there is no such class.
    """
    truncation = psi if model.has_w else 1.0
    [image] = model.sample([seed], psi=truncation, label=None if label == "" else label)
    data = model.meta.get("data", {})
    return to_picture(image, data, run_pixels(data).alpha is not False)


def translated(model: Model, file: str | Path, direction: str) -> Image.Image:
    """Return the translation of a photo.

    Args:
        model: a translator.
        file: of the photo.
        direction: "ab" or "ba".

    Raises:
        ConfigError: the file cannot be read, or is too large.
    """
    data = model.meta.get("data", {})
    channels = picture_channels(model.translator(direction), data)[0] or 3
    try:
        x = image_io.read(Path(file), channels, run_pixels(data, direction[0])).x
    except ImageFault as fault:
        raise ConfigError(f"{Path(file).name} {fault}.") from None
    if x[0].numel() > MOST_PIXELS:
        raise ConfigError(
            f"{Path(file).name} has more than {MOST_PIXELS:,} pixels, which takes too long here: "
            "give a smaller picture, or use gantrain translate on your own machine."
        )
    with torch.no_grad():
        [image] = model.translate(x[None], direction)
    return to_picture(image, data, run_pixels(data, direction[1]).alpha is not False)
