"""What a data set holds and what is odd about it: every picture is decoded once."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from gantrain.data.archive import Picture, file_size
from gantrain.data.bit_depth import ImageFault, to_channels
from gantrain.data.decode import decode
from gantrain.data.preflight import ImageSource

Log = Callable[[str], None]
MODES = {1: "gray", 2: "gray and alpha", 3: "RGB", 4: "RGBA"}
DEPTHS = {"uint8": "8 bit", "uint16": "16 bit", "float32": "float"}
FEW = 100  # training pictures: below, a discriminator learns them by heart soon
UNEVEN = 4  # times as many pictures in one domain or class as in another
_CHUNK = 64
_LOG_EVERY = 1000


@dataclass(frozen=True)
class ImageRecord:
    """One picture: where it belongs, what it is, why it cannot serve ("": it can)."""

    split: str
    name: str
    file: Picture
    fault: str
    size: tuple[int, int] = (0, 0)  # (height, width)
    kind: str = ""  # "RGB, 8 bit"
    bytes: int = 0
    content: str = ""  # a hash of the pixels


def scan(sources: Mapping[str, ImageSource], log: Log) -> list[ImageRecord]:
    """Every file of the set."""
    found: list[ImageRecord] = []
    total = sum(len(source.files) for source in sources.values())
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for split, source in sources.items():
            for start in range(0, len(source.files), _CHUNK):
                numbers = range(start, min(start + _CHUNK, len(source.files)))
                found += pool.map(lambda n, s=split, src=source: _seen(s, src, n), numbers)
                if len(found) // _LOG_EVERY > (len(found) - len(numbers)) // _LOG_EVERY:
                    log(f"data: looked at {len(found)} of {total} pictures")
    return found


def _seen(split: str, source: ImageSource, number: int) -> ImageRecord:
    name, file = source.names[number], source.files[number]
    try:
        array, note = decode(file)
        size = (array.shape[0], array.shape[1])
        fault = _fault(source, array, size)
    except ImageFault as error:
        return ImageRecord(split, name, file, str(error))
    kind = "CMYK" if note == "CMYK" else MODES[array.shape[2]]
    print_ = hashlib.sha256(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    facts = (size, f"{kind}, {DEPTHS[array.dtype.name]}", file_size(file), print_.hexdigest())
    return ImageRecord(split, name, file, fault, *facts)


def _fault(source: ImageSource, array: np.ndarray, size: tuple[int, int]) -> str:
    try:
        to_channels(source.pixels.convert(array), source.channels)
    except ImageFault as error:
        return str(error)
    return source.resize.size_fault(size, source.test)


def summarize(seen: list[ImageRecord], classes: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Plain values: counts, sizes, kinds, bytes, faults, duplicates and warnings.

    classes: training pictures by label, if there are labels.
    """
    splits = {split: _of_split([*group]) for split, group in groupby(seen, lambda s: s.split)}
    twins = list(_duplicates(seen))
    return {
        "splits": splits,
        "faults": [{"file": str(s.file), "why": s.fault} for s in seen if s.fault],
        "duplicates": [[f"{s.split}/{s.name}" for s in group] for group in twins],
        "classes": dict(classes or {}),
        "warnings": [*_warnings(splits, twins, classes or {})],
    }


def _of_split(seen: list[ImageRecord]) -> dict[str, Any]:
    good = [s for s in seen if s.size[0]]
    sizes = Counter(s.size for s in good)
    common = sizes.most_common(1)[0][0] if sizes else (0, 0)
    heights, widths = [s.size[0] for s in good] or [0], [s.size[1] for s in good] or [0]
    return {
        "pictures": len(seen),
        "usable": sum(not s.fault for s in seen),
        "bytes": sum(s.bytes for s in good),
        "sizes": len(sizes),
        "smallest": [min(heights), min(widths)],
        "largest": [max(heights), max(widths)],
        "most_common": list(common),
        "kinds": dict(Counter(s.kind for s in good).most_common()),
        "formats": dict(Counter(_ending(s.name) for s in good).most_common()),
    }


def _ending(name: str) -> str:
    ending = name.rpartition(".")[2].lower()
    return {"jpeg": "jpg", "tiff": "tif"}.get(ending, ending)


def _duplicates(seen: list[ImageRecord]) -> Iterator[list[ImageRecord]]:
    """Groups of pictures with the same pixels."""
    groups: dict[str, list[ImageRecord]] = {}
    for one in seen:
        if one.content:
            groups.setdefault(one.content, []).append(one)
    yield from (group for group in groups.values() if len(group) > 1)


def _warnings(
    splits: dict[str, dict[str, Any]], twins: list[list[ImageRecord]], classes: Mapping[str, int]
) -> Iterator[str]:
    train = {name: facts["usable"] for name, facts in splits.items() if name.startswith("train")}
    leaked = [g for g in twins if any(s.split[:4] == "test" for s in g)]
    leaked = [g for g in leaked if any(s.split[:5] == "train" for s in g)]
    if leaked:
        first = sorted(leaked[0], key=lambda s: s.split[:5] != "train")
        yield (
            f"{len(leaked)} pictures are both in training and in test, such as {first[0].split}/"
            f"{first[0].name} and {first[-1].split}/{first[-1].name}: numbers of the test set will "
            "flatter; remove them from one."
        )
    within = [g for g in twins if g not in leaked]
    if within:
        g = within[0]
        yield (
            f"{len(within)} pictures occur more than once, such as {g[0].split}/{g[0].name} and "
            f"{g[1].split}/{g[1].name}: they count as often; remove them if that is not meant."
        )
    for name, count in train.items():
        if count < FEW:
            yield (
                f"{name} has {count} usable pictures: with fewer than {FEW} a discriminator "
                "learns them by heart; collect more, or watch for copies."
            )
    pairs = (
        ("domains", train, "pictures of the small one come round more often"),
        ("classes", classes, "the rare ones will be learnt worse"),
    )
    for what, counts, follows in pairs:
        if counts and (most := max(counts.values())) > UNEVEN * (least := min(counts.values())):
            names = {n: c for n, c in counts.items() if c in (most, least)}
            told = ", ".join(f"{n} {c}" for n, c in sorted(names.items(), key=lambda e: -e[1])[:4])
            yield f"The {what} are uneven ({told}): {follows}."
    formats = {name: set(facts["formats"]) for name, facts in splits.items() if name in train}
    lossy = {name: bool(found & {"jpg", "webp"}) for name, found in formats.items()}
    if len(set(lossy.values())) > 1:
        packed = [name for name, is_lossy in lossy.items() if is_lossy]
        yield (
            f"Only {packed[0]} holds JPEG or WebP: its traces tell the domains apart, and "
            "generators learn to paint them; save both alike."
        )
