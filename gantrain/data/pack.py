"""A data set resized once, in one file: a zip archive that `data=folder` reads like folders."""

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gantrain.data.encode import encoded
from gantrain.data.image_files import load_image
from gantrain.data.preflight import ImageSource
from gantrain.io.files import atomic_write

NOTE = "gantrain.json"
FOLDERS = {"train_a": "trainA", "train_b": "trainB", "test_a": "testA", "test_b": "testB"}
_CHUNK = 64


def pack(
    archive: Path,
    sources: Mapping[str, ImageSource],
    labels: Mapping[str, bytes],
    note: dict[str, Any],
) -> int:
    """Write all pictures of `sources`, resized, losslessly; the number of them.

    Read with the same settings, every picture is what it would have been, bit for bit. `labels`:
    dataset.json by folder ("" for the top). `note` becomes gantrain.json: where it all comes from.

    Raises ImageFault, OSError.
    """
    count = 0
    with atomic_write(archive) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target:
        for name, content in _contents(sources):
            target.writestr(name, content)
            count += 1
        for folder, text in labels.items():
            path = f"{folder}/dataset.json".lstrip("/")
            target.writestr(path, _renamed(text, _endings(sources)))
        target.writestr(NOTE, json.dumps(note, indent=2) + "\n")
    return count


def _contents(sources: Mapping[str, ImageSource]) -> Iterator[tuple[str, bytes]]:
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for split, source in sources.items():
            folder = FOLDERS.get(split, split)
            names = _names(source)
            for start in range(0, len(names), _CHUNK):
                numbers = range(start, min(start + _CHUNK, len(names)))
                made = pool.map(lambda n, source=source: _content(source, n), numbers)
                yield from ((f"{folder}/{names[n]}", x) for n, x in zip(numbers, made, strict=True))


def _content(source: ImageSource, number: int) -> bytes:
    picture = load_image(source.files[number], source.channels, source.pixels)
    resized = source.resize.resize(picture, source.test)
    return encoded(resized, "TIFF" if resized.dtype == np.float32 else "PNG")


def _ending(source: ImageSource) -> str:
    return ".tif" if source.pixels.depth == "float" else ".png"


def _endings(sources: Mapping[str, ImageSource]) -> str:
    return _ending(next(iter(sources.values())))


def _names(source: ImageSource) -> list[str]:
    """The pictures' names with the new ending; where that makes two alike, after the old one."""
    plain = [str(PurePosixPath(name).with_suffix(_ending(source))) for name in source.names]
    twice = (
        {name for name in plain if plain.count(name) > 1} if len(set(plain)) < len(plain) else ()
    )
    return [
        f"{old}{_ending(source)}" if new in twice else new
        for old, new in zip(source.names, plain, strict=True)
    ]


def _renamed(text: bytes, ending: str) -> str:
    """dataset.json with the new names."""
    content = json.loads(text)
    pairs = content.get("labels") or []
    named = [[str(PurePosixPath(name).with_suffix(ending)), label] for name, label in pairs]
    return json.dumps({**content, "labels": named if pairs else content.get("labels")})
