"""What an image file says about itself: pages, bands, signs. Refuse what would be misread."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from PIL import Image

from gantrain.data.bit_depth import ImageFault

MAIN_VIEW = "MPO"  # a note, see `check_claims`
_DESCRIPTION, _SUBFILE, _SAMPLES, _EXTRA = 270, 254, 277, 338  # of TIFF
_FORMAT, _COLOR, _BITS = 339, 262, 258
_REDUCED = 1  # bit of a page that is a small copy of another one
_COLORS = {2: 3, 5: 4, 6: 3, 8: 3}  # channels by photometric interpretation; all others have one
PREMULTIPLIED, _PLAIN_ALPHA = 1, 2  # kinds of extra samples that are alpha


def check_claims(image: Image.Image) -> str:
    """Check that one plain image is all that an opened file holds.

    Returns:
        A note: `MAIN_VIEW` for a photo that also holds other views of its scene, such as a preview
        or a depth map, which are not part of it; else "".

    Raises:
        ImageFault: the file holds several images, or bands that the reader drops.
    """
    tags: Any = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        check_pages(_main_pages(image), str(tags.get(_DESCRIPTION, "")), image.size)
        return ""
    if image.format == "MPO":
        return MAIN_VIEW if getattr(image, "n_frames", 1) > 1 else ""
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise ImageFault(
            f"holds {frames} frames (an animation): save the wanted ones as files, or set "
            "data.pages=first, each (every frame is an image) or channels"
        )
    check_values(image)
    return ""


def check_values(image: Image.Image) -> None:
    """Raise ImageFault if a file that is no TIFF holds values that Pillow drops."""
    if image.format == "TGA":
        _check_targa(image)
    if image.format == "AVIF":
        _check_avif(image)
    if image.format == "HEIF" and int(image.info.get("bit_depth", 8)) > 8:
        raise ImageFault("is a HEIF of more than 8 bits per channel: save it as PNG or TIFF")


def pillow_reads(tags: Any) -> bool:
    """Return whether Pillow reads all that a TIFF with these tags holds in 8 bits.

    It drops bands beyond the colours that are not alpha, and takes signed numbers for unsigned.
    """
    formats, bits, extra = (tags.get(tag, (0,)) for tag in (_FORMAT, _BITS, _EXTRA))
    formats, bits, extra = (x if isinstance(x, tuple) else (x,) for x in (formats, bits, extra))
    samples, photometric = int(tags.get(_SAMPLES, 1)), int(tags.get(_COLOR, 1))
    if any(kind > 1 for kind in formats) or max(bits) > 8:
        return False
    beyond = samples - _COLORS.get(photometric, 1)
    return beyond <= 0 or (beyond == 1 and extra in ((PREMULTIPLIED,), (_PLAIN_ALPHA,)))


def check_pages(pages: int, description: str, size: tuple[int, int]) -> None:
    """Raise ImageFault if a TIFF holds more than one image.

    Args:
        pages: those in the file, without reduced copies.
        description: ImageJ and tifffile may store many images as one page and count them here.
        size: (width, height) of a page.
    """
    if description.startswith("ImageJ"):
        match = re.search(r"^images=(\d{1,9})\s*$", description, re.MULTILINE)
        pages = max(pages, int(match.group(1)) if match else 1)
    elif '"truncated"' in description:
        pages = max(pages, _shaped_pages(description, size))
    if pages > 1:
        raise ImageFault(
            f"holds {pages} pages: save the wanted ones as files of their own, or set "
            "data.pages=channels (they are the channels of one image), first or each"
        )


def meaning_of_bands(photometric: int, samples: int, extra: Sequence[int]) -> tuple[bool, bool]:
    """Return whether the bands of a TIFF are colours, and whether the last one is alpha.

    Args:
        photometric: how colours are stored.
        samples: bands of the file.
        extra: kinds of the bands beyond the colours.

    Raises:
        ImageFault: a band other than the last one is alpha.
    """
    beyond = samples - _COLORS.get(photometric, 1)
    alphas = [kind in (PREMULTIPLIED, _PLAIN_ALPHA) for kind in extra]
    if any(alphas[:-1]):
        raise ImageFault("has alpha before its last band: save it with alpha as the last one")
    has_alpha = beyond > 0 and bool(alphas) and alphas[-1]
    return beyond == has_alpha, has_alpha


def _main_pages(image: Image.Image) -> int:
    """Return the number of pages of a TIFF that are no reduced copies of others."""
    count = getattr(image, "n_frames", 1)
    if count == 1:
        return 1
    full = 0
    for index in range(count):
        image.seek(index)
        tags: Any = getattr(image, "tag_v2", {})
        full += not int(tags.get(_SUBFILE, 0)) & _REDUCED
    image.seek(0)
    return max(full, 1)


def _shaped_pages(description: str, size: tuple[int, int]) -> int:
    """Return the number of images of `size` in tifffile's {"shape": ...}, whose axes it omits."""
    try:
        shape = [int(side) for side in json.loads(description)["shape"]]
    except (ValueError, KeyError, TypeError):
        return 1
    channels = shape[-1] if len(shape) > 2 and (shape[-2], shape[-3]) == size else 1
    return math.prod(shape) // max(math.prod(size) * channels, 1)


def _check_targa(image: Image.Image) -> None:
    """Refuse a last band that the header does not declare as alpha."""
    descriptor, bands = _bytes_at(image, 17, 1), len(image.getbands())
    if bands in (2, 4) and descriptor and not descriptor[0] & 0x0F:
        raise ImageFault(
            f"has {bands} channels, and the file does not say that the last one is alpha: save it "
            "as PNG"
        )


def _check_avif(image: Image.Image) -> None:
    """Refuse 10 and 12 bits, which Pillow would reduce to 8."""
    header = _bytes_at(image, 0, 1 << 16)
    place = header.find(b"av1C")
    if place >= 0 and header[place + 6] & 0x40:  # high_bitdepth
        raise ImageFault("is an AVIF of more than 8 bits per channel: save it as PNG or TIFF")


def _bytes_at(image: Image.Image, start: int, count: int) -> bytes:
    """Return some bytes of the file of an image that is not loaded yet."""
    file: Any = getattr(image, "fp", None)
    assert file is not None
    place = file.tell()
    file.seek(start)
    content = file.read(count)
    file.seek(place)
    return content
