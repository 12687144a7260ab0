"""Finding image files and decoding them to 1, 3 or 4 channels of 8 bits, or saying why not."""

import os
from pathlib import Path

from PIL import Image, ImageOps

from gantrain.data.archive import Picture, opened
from gantrain.errors import ConfigError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_PLAIN_MODES = ("1", "L", "P", "RGB", "YCbCr")
_ORIENTATION, _BITS_PER_SAMPLE = 274, 258  # EXIF and TIFF tags


class ImageFault(Exception):
    """Why one file cannot serve, as a phrase that follows the file's name."""


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by their path relative to it.

    Linked folders are followed (each once); names starting with a dot are skipped.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link back to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if is_image(name)]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def image_size(path: Picture) -> tuple[int, int]:
    """(height, width) after EXIF rotation, from the header alone. Raises ImageFault."""
    try:
        with Image.open(opened(path)) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception as error:  # decoders raise whatever a broken file leads them to
        raise _unreadable(error) from error
    return (width, height) if turned else (height, width)


def load_image(path: Picture, channels: int) -> Image.Image:
    """The upright picture in mode L, RGB or RGBA for `channels` 1, 3 or 4; first frame only.

    Gray becomes RGB by repetition, RGB becomes gray by the ITU-R 601 luma weights, a missing alpha
    is opaque and a wholly opaque alpha is dropped. Raises ImageFault for an unreadable file
    and for what 8 bits and `channels` cannot hold: 16 bit, float, CMYK, transparency.
    """
    try:
        with Image.open(opened(path)) as image:
            deep = _is_deep(image)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise whatever a broken file leads them to
        raise _unreadable(error) from error
    if deep or upright.mode.startswith(("I", "F")):
        raise ImageFault("has more than 8 bits per channel: save it as an 8-bit picture")
    return _to_channels(upright, channels)


def reload_image(path: Picture, channels: int) -> Image.Image:
    """`load_image` of a picture that was usable before. Raises ConfigError when it no longer is."""
    try:
        return load_image(path, channels)
    except ImageFault as fault:
        raise ConfigError(f"{path} {fault}; it was usable at the start.") from fault


def _is_deep(image: Image.Image) -> bool:
    """Whether an opened file stores over 8 bits, which Pillow's RGB mode would silently cut."""
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    arguments = [tile[3] for tile in getattr(image, "tile", ())]  # what the decoder is told
    if image.format == "PNG":
        return any(isinstance(mode, str) and ";16" in mode for mode in arguments)
    if image.format == "PPM":  # (raw mode, largest value)
        return any(isinstance(args, tuple) and args[-1] > 255 for args in arguments)
    return False


def _to_channels(image: Image.Image, channels: int) -> Image.Image:
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if channels == 4:
            return rgba
        if rgba.getchannel("A").getextrema() != (255, 255):
            raise ImageFault(
                f"has transparency, which {channels} channel{'s' * (channels > 1)} cannot hold: "
                "flatten it onto a background, or set its channels to 4"
            )
        image = rgba.convert("RGB")
    elif image.mode not in _PLAIN_MODES:
        raise ImageFault(f"is in colour mode {image.mode}: save it as RGB or grayscale")
    return image.convert(_MODES[channels])


def _unreadable(error: Exception) -> ImageFault:
    return ImageFault(f"is unreadable ({str(error) or type(error).__name__})")
