"""What the page makes of translators: pictures in the other domain, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gantrain.data.bit_depth import ImageFault
from gantrain.errors import ConfigError
from gantrain.inference import image_io
from gantrain.inference.image_io import run_pixels
from gantrain.inference.model import Model
from gantrain.inference.translation import input_channels
from gantrain.studio.calls import OwnFile
from gantrain.studio.open_run import OpenRun, Picture, Say


@dataclass(frozen=True)
class Translation:
    """A picture, its translation, and the way back if there is one.

    Attributes:
        name: of the picture.
        before: the picture for a browser, as the network sees it.
        after: its translation.
        back: the translation of that.
    """

    name: str
    before: Path
    after: Picture
    back: Picture | None


def choices_of_direction(model: Model) -> list[tuple[str, str]]:
    """Return the directions to choose from, by what they are called."""
    return [(f"{one[0]} to {one[1]}", one) for one in model.directions]


def translate(run: OpenRun, source: Path, direction: str, warn: Say) -> Translation:
    """Translate a picture, and its translation back.

    Args:
        run: a translator.
        source: the picture's file.
        direction: "ab" or "ba".
        warn: told in sentences what had to be changed.

    Raises:
        ConfigError: it cannot be read or translated.
    """
    given = OwnFile(source, source.name)
    output = f"translated_{direction}"
    call = run.call("translate", input=given, output=output, direction=direction)
    image, after = run.translate(call, warn)
    channels = input_channels(run.model.translator(direction)) or 3
    pixels = run_pixels(run.model.meta.get("data", {}), direction[0])
    try:
        loaded = image_io.read(image, channels, pixels)
    except ImageFault as fault:
        raise ConfigError(f"{source.name} {fault}.") from None
    before = run.preview(loaded.x, source, loaded.alpha)
    reverse = direction[::-1]
    if reverse not in run.model.directions:
        return Translation(source.name, before, after, None)
    result = OwnFile(after.file, f"{output}/{after.file.name}")
    call = run.call("translate", input=result, output=f"back_{reverse}", direction=reverse)
    return Translation(source.name, before, after, run.translate(call, warn)[1])
