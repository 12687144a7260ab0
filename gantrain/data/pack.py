"""Pack a resized data set into one zip archive, which data=folder reads like folders."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from gantrain.data.encode import encode_image
from gantrain.data.findings import ImageSource, reading_pool
from gantrain.data.halves import half_of
from gantrain.data.image_files import load_image
from gantrain.io.files import atomic_write

NOTE = "gantrain.json"
FOLDERS = {"train_a": "trainA", "train_b": "trainB", "test_a": "testA", "test_b": "testB"}
_CHUNK = 64


class PackedImage(NamedTuple):
    """An image as it is stored.

    Args:
        split: such as "train_a".
        source: its name in the source.
        name: path in the archive.
        content: bytes of the file.
    """

    split: str
    source: str
    name: str
    content: bytes


def pack(
    archive: Path,
    sources: Mapping[str, ImageSource],
    labels: Mapping[str, Mapping[str, Any]],
    note: dict[str, Any],
) -> int:
    """Write all images, resized and without loss, and return their number.

    Read with the same settings, the images equal the original ones bit for bit.

    Args:
        archive: the file.
        sources: the images, by split.
        labels: from dataset.json, by split and name of the image.
        note: the origin of the images, stored as gantrain.json.

    Raises:
        ImageFault: an image cannot be read or stored.
        OSError: the archive cannot be written.
    """
    count = 0
    with atomic_write(archive) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target:
        for image in packed_images(sources):
            target.writestr(image.name, image.content)
            count += 1
        for split, source in sources.items():
            if pairs := _label_pairs(source, labels.get(split, {})):
                path = f"{FOLDERS.get(split, split)}/dataset.json"
                target.writestr(path, json.dumps({"labels": pairs}))
        target.writestr(NOTE, json.dumps(note, indent=2) + "\n")
    return count


def packed_images(sources: Mapping[str, ImageSource]) -> Iterator[PackedImage]:
    """Yield all images, resized and without loss, in the order of the sources.

    Args:
        sources: the images, by split.

    Raises:
        ImageFault: an image cannot be read or stored.
    """
    with reading_pool(sources) as pool:
        for split, source in sources.items():
            folder = FOLDERS.get(split, split)
            names = _names(source)
            for start in range(0, len(names), _CHUNK):
                indices = range(start, min(start + _CHUNK, len(names)))
                contents = pool.map(lambda i, source=source: _encode(source, i), indices)
                for i, content in zip(indices, contents, strict=True):
                    yield PackedImage(split, source.names[i], f"{folder}/{names[i]}", content)


def _encode(source: ImageSource, index: int) -> bytes:
    image = load_image(source.files[index], source.channels, source.pixels)
    pixels = half_of(image.pixels, source.half)
    resized = source.resize.resize(pixels, source.test, image.alpha)
    kind = "TIFF" if _suffix(source) == ".tif" else "PNG"
    return encode_image(resized, kind, image.alpha)


def _suffix(source: ImageSource) -> str:
    """Return the ending of files that keep the pixels: PNG has up to 16 bits, and no bands."""
    colors = source.channels in (1, 3) or (source.channels in (2, 4) and source.alpha)
    return ".png" if colors and not source.pixels.holds_numbers else ".tif"


def _names(source: ImageSource) -> list[str]:
    """Return the names with the new suffix, which follows the old one if names would be equal."""
    suffix = _suffix(source)
    names = [str(PurePosixPath(name).with_suffix(suffix)) for name in source.names]
    counts = Counter(names)
    return [
        f"{old}{suffix}" if counts[new] > 1 else new
        for old, new in zip(source.names, names, strict=True)
    ]


def _label_pairs(source: ImageSource, labels: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the labels of the packed images, under their new names."""
    pairs = zip(source.names, _names(source), strict=True)
    return [(new, labels[old]) for old, new in pairs if old in labels]
