"""Tell formats of images by their first bytes, of many at once."""

import numpy as np

HEAD = 12  # bytes that tell a format
# (suffix, {position: bytes there}); of several that fit, the first one counts
_FORMATS: tuple[tuple[str, dict[int, bytes]], ...] = (
    (".png", {0: b"\x89PNG\r\n\x1a\n"}),
    (".jpg", {0: b"\xff\xd8\xff"}),
    (".webp", {0: b"RIFF", 8: b"WEBP"}),
    (".gif", {0: b"GIF8"}),
    (".bmp", {0: b"BM"}),
    *((".tif", {0: mark}) for mark in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((".avif", {4: b"ftyp" + brand}) for brand in (b"avif", b"avis")),
    *((".heic", {4: b"ftyp" + brand}) for brand in (b"heic", b"heix", b"hevc", b"mif1")),
    (".qoi", {0: b"qoif"}),
    *((".pnm", {0: b"P%d%c" % (kind, space)}) for kind in range(1, 7) for space in b"\n \t\r"),
)
UNKNOWN = 0
SUFFIXES = (".bin", *dict.fromkeys(suffix for suffix, _ in _FORMATS))


def kinds_of(heads: np.ndarray) -> np.ndarray:
    """Return the formats of N files.

    Args:
        heads: uint8 [N, `HEAD`], their first bytes; zeros behind the end of a shorter file.

    Returns:
        uint8 [N], numbers in `SUFFIXES`; `UNKNOWN` for a format that is none of these.
    """
    kinds = np.full(len(heads), UNKNOWN, np.uint8)
    for suffix, marks in _FORMATS:
        fits = kinds == UNKNOWN
        for place, mark in marks.items():
            fits &= (heads[:, place : place + len(mark)] == np.frombuffer(mark, np.uint8)).all(1)
        kinds[fits] = SUFFIXES.index(suffix)
    return kinds
