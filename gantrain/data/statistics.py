"""Statistics of a data set, and warnings about it: every image is decoded once."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from gantrain.data import suitability
from gantrain.data.bit_depth import ImageFault, Picture, is_grey, to_channels
from gantrain.data.decode import decode
from gantrain.data.findings import ImageSource, reading_pool
from gantrain.data.views import AnyFile, bytes_of, split_suffix
from gantrain.errors import agreed, counted

Log = Callable[[str], None]
MODES = {1: "gray", 2: "gray and alpha", 3: "RGB", 4: "RGBA"}
DEPTHS = {"uint8": "8 bit", "uint16": "16 bit", "float32": "float"}  # others by their own names
FEW = 100  # training images, below which a discriminator soon memorizes them
UNEVEN = 4  # ratio between the sizes of domains or classes
_CHUNK = 64
_LOG_EVERY = 1000


@dataclass(frozen=True)
class ImageRecord:
    """One image of a data set.

    Args:
        split: such as "train".
        name: path below its folder.
        file: the file.
        fault: why it cannot be used; "": it can.
        size: (height, width), or (0, 0) if it is unreadable.
        kind: such as "RGB, 8 bit".
        bytes: size of the file.
        content: digest of the pixels.
        highest: the largest value of a 16-bit file of levels, else 0.
        clipped: values that are clipped.
        alpha: whether the last channel is alpha.
        lowest, top: the extreme values.
        grey: whether it lacks the colours that it should teach.
    """

    split: str
    name: str
    file: AnyFile
    fault: str
    size: tuple[int, int] = (0, 0)
    kind: str = ""
    bytes: int = 0
    content: str = ""
    highest: int = 0
    clipped: int = 0
    alpha: bool = False
    lowest: float = 0.0
    top: float = 0.0
    grey: bool = False


def scan(sources: Mapping[str, ImageSource], log: Log) -> list[ImageRecord]:
    """Decode every file of a data set and return a record of each.

    Args:
        sources: the files, by split.
        log: receives one line of text at a time.
    """
    records: list[ImageRecord] = []
    total = sum(len(source.files) for source in sources.values())
    with reading_pool(sources) as pool:
        for split, source in sources.items():
            for start in range(0, len(source.files), _CHUNK):
                indices = range(start, min(start + _CHUNK, len(source.files)))
                records += pool.map(lambda i, s=split, src=source: _record(s, src, i), indices)
                if len(records) // _LOG_EVERY > (len(records) - len(indices)) // _LOG_EVERY:
                    log(f"data: scanned {len(records)} of {total} images")
    return records


def _record(split: str, source: ImageSource, index: int) -> ImageRecord:
    name, file = source.names[index], source.files[index]
    try:
        picture = decode(file)
        array = picture.pixels
        size = (array.shape[0], array.shape[1])
        fault, alpha = _fault(source, picture, size)
    except ImageFault as error:
        return ImageRecord(split, name, file, str(error))
    depth = DEPTHS.get(array.dtype.name, array.dtype.name)
    hasher = hashlib.sha256(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return ImageRecord(
        split=split,
        name=name,
        file=file,
        fault=fault,
        size=size,
        kind=f"{_mode(picture)}, {depth}",
        bytes=bytes_of(file),
        content=hasher.hexdigest(),
        highest=int(array.max()) if array.dtype == np.uint16 and not source.pixels.ranged else 0,
        clipped=source.pixels.outside(array),
        alpha=alpha,
        lowest=float(array.min()),
        top=float(array.max()),
        grey=source.teaches_colors and picture.colors and is_grey(array),
    )


def _mode(picture: Picture) -> str:
    count = picture.pixels.shape[2]
    if picture.note == "CMYK":
        return "CMYK"
    if picture.colors:
        return MODES[count]
    return f"{count} bands{' with alpha' if picture.alpha else ''}"


def _fault(source: ImageSource, picture: Picture, size: tuple[int, int]) -> tuple[str, bool]:
    """Return why an image cannot be used, or "", and whether its last channel is alpha."""
    try:
        numbers = source.pixels.convert(picture.pixels)
        image = to_channels(picture._replace(pixels=numbers), source.channels)
    except ImageFault as error:
        return str(error), False
    return source.resize.size_fault(size, source.test), image.alpha


def summarize(
    records: list[ImageRecord], classes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Summarize the records of a data set in plain values.

    Args:
        records: from `scan`.
        classes: number of training images by class; None: no labels.

    Returns:
        Counts, sizes, kinds and bytes by split; faults, duplicates, classes and warnings.
    """
    splits = {split: _summarize([*group]) for split, group in groupby(records, lambda r: r.split)}
    duplicates = list(_duplicates(records))
    return {
        "splits": splits,
        "faults": [{"file": str(r.file), "why": r.fault} for r in records if r.fault],
        "duplicates": [[f"{r.split}/{r.name}" for r in group] for group in duplicates],
        "classes": dict(classes or {}),
        "warnings": [*_warnings(splits, duplicates, classes or {})],
    }


def suitability_warnings(
    records: list[ImageRecord], sources: Mapping[str, ImageSource]
) -> list[str]:
    """Return warnings about the sizes and values of the images, see `data.suitability`.

    Args:
        records: from `scan`.
        sources: the files, by split.
    """
    found: list[str] = []
    for split, source in sources.items():
        usable = [record for record in records if record.split == split and not record.fault]
        highest = max((record.highest for record in usable), default=0)
        names, sizes = [r.name for r in usable], [r.size for r in usable]
        grey = [r.name for r in usable if r.grey]
        facts = suitability.Facts(names, sizes, highest, grey)
        for warnings in (suitability.warnings, suitability.small_images):
            found += [f"{text}." for text in warnings(split, facts, source.resize)]
    return found


def range_notes(records: list[ImageRecord], sources: Mapping[str, ImageSource]) -> list[str]:
    """Return how much of their range the numbers of each split use, and how many are clipped.

    Args:
        records: from `scan`.
        sources: the files, by split.
    """
    notes = []
    for split, source in sources.items():
        usable = [record for record in records if record.split == split and not record.fault]
        if not usable or not source.pixels.holds_numbers:
            continue
        low, high = source.pixels.low, source.pixels.high
        lowest, top = min(r.lowest for r in usable), max(r.top for r in usable)
        share = (min(top, high) - max(lowest, low)) / (high - low)
        note = (
            f"{split} holds numbers from {lowest:g} to {top:g}, {share:.0%} of "
            f"value_range=[{low:g},{high:g}]"
        )
        if clipped := sum(record.clipped for record in usable):
            total = sum(r.size[0] * r.size[1] for r in usable) * source.channels
            note += f"; {clipped} of {total} values are clipped"
        notes.append(note)
    return notes


def _summarize(records: list[ImageRecord]) -> dict[str, Any]:
    """Summarize one split; the keys are those of `gantrain prepare`'s report."""
    readable = [r for r in records if r.size[0]]
    sizes = Counter(r.size for r in readable)
    common = sizes.most_common(1)[0][0] if sizes else (0, 0)
    heights = [r.size[0] for r in readable] or [0]
    widths = [r.size[1] for r in readable] or [0]
    return {
        "pictures": len(records),
        "usable": sum(not r.fault for r in records),
        "bytes": sum(r.bytes for r in readable),
        "sizes": len(sizes),
        "smallest": [min(heights), min(widths)],
        "largest": [max(heights), max(widths)],
        "most_common": list(common),
        "kinds": dict(Counter(r.kind for r in readable).most_common()),
        "formats": dict(Counter(_file_format(r.name) for r in readable).most_common()),
    }


def _file_format(name: str) -> str:
    suffix = split_suffix(name)[1].removeprefix(".").lower()
    return {"jpeg": "jpg", "tiff": "tif"}.get(suffix, suffix)


def _duplicates(records: list[ImageRecord]) -> Iterator[list[ImageRecord]]:
    """Yield groups of images with the same pixels."""
    groups: dict[str, list[ImageRecord]] = {}
    for record in records:
        if record.content:
            groups.setdefault(record.content, []).append(record)
    yield from (group for group in groups.values() if len(group) > 1)


def _warnings(
    splits: dict[str, dict[str, Any]],
    duplicates: list[list[ImageRecord]],
    classes: Mapping[str, int],
) -> Iterator[str]:
    train = {name: split["usable"] for name, split in splits.items() if name.startswith("train")}
    yield from _duplicate_warnings(duplicates)
    for name, count in train.items():
        if 0 < count < FEW:  # of none, the errors tell
            yield (
                f"{name} has {counted(count, 'usable image')}: with fewer than {FEW} a "
                "discriminator soon memorizes them; collect more, or watch for copies."
            )
    groups = (
        ("domains", train, "images of the small one are repeated more often"),
        ("classes", {k: n for k, n in classes.items() if n}, "the rare ones will be learnt worse"),
    )
    for kind, counts, consequence in groups:
        if counts and (most := max(counts.values())) > UNEVEN * (least := min(counts.values())):
            extremes = {name: count for name, count in counts.items() if count in (most, least)}
            by_count = sorted(extremes.items(), key=lambda entry: -entry[1])
            examples = ", ".join(f"{name} {count}" for name, count in by_count[:4])
            yield f"The {kind} are uneven ({examples}): {consequence}."
    formats = {name: set(split["formats"]) for name, split in splits.items() if name in train}
    is_lossy = {name: bool(used & {"jpg", "webp"}) for name, used in formats.items()}
    if len(set(is_lossy.values())) > 1:
        lossy = [name for name, value in is_lossy.items() if value]
        yield (
            f"Only {lossy[0]} holds JPEG or WebP: its artefacts tell the domains apart, and "
            "generators learn to imitate them; save both domains in the same format."
        )


def _duplicate_warnings(duplicates: list[list[ImageRecord]]) -> Iterator[str]:
    leaked = [group for group in duplicates if any(r.split[:4] == "test" for r in group)]
    leaked = [group for group in leaked if any(r.split[:5] == "train" for r in group)]
    if leaked:
        group = sorted(leaked[0], key=lambda r: r.split[:5] != "train")
        yield (
            f"{counted(len(leaked), 'image')} both in training and in test, such as "
            f"{group[0].split}/{group[0].name} and {group[-1].split}/{group[-1].name}: "
            "metrics of the test set will be too good; remove them from one."
        )
    repeated = [group for group in duplicates if group not in leaked]
    if repeated:
        first, second = repeated[0][:2]
        yield (
            f"{counted(len(repeated), 'image')} {agreed(len(repeated), 'occur')} more than once, "
            f"such as {first.split}/{first.name} and {second.split}/{second.name}: each copy "
            "counts; remove them if this is not intended."
        )
