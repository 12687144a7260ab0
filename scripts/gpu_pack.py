"""A few megabytes of any folder of pictures, in a zip that gantrain reads as it is.

python scripts/gpu_pack.py SOURCE [SOURCE_B] OUT.zip [--side 128] [--max-mb 25]

For a machine with a GPU to which little can be carried. SOURCE: a folder of pictures, whose
sub-folders (classes, or train/ and test/) are kept, or one with trainA/ and trainB/, perhaps also
testA/ and testB/. Two folders are two domains, each of pictures or with train/ and perhaps test/.

Every picture becomes a JPEG of quality 90: turned upright, its largest central square resized to
`side` pixels (Lanczos). Grey stays grey; transparency is put on white. Where more than `max-mb`
(10^6 bytes, the whole file) would come out, evenly spaced pictures of every folder are taken. The
same pictures make the same bytes, with the same version of Pillow. Files that cannot be used are
named and left out. Exit code 2: there is nothing to pack, or no place to write it.
"""

import argparse
import io
import math
import os
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import decode
from gantrain.data.image_files import list_images
from gantrain.data.location import LABEL_FILE
from gantrain.data.transforms import FitResize
from gantrain.errors import ConfigError
from gantrain.io.files import atomic_write

QUALITY = 90  # of JPEG
SAMPLE = 512  # pictures that tell how large the others become
SHOWN = 20  # names of unusable files
EVER = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
END = 22  # bytes after the last entry of a zip
DOMAINS = {"a": ("trainA", "testA"), "b": ("trainB", "testB")}


@dataclass(frozen=True)
class Made:
    """One picture of the pack, or why it is not in it."""

    content: bytes = b""
    fault: str = ""
    flattened: bool = False  # it had transparency


@dataclass
class Group:
    """Pictures of one folder in the pack ("" for the top), in the order of their names."""

    name: str
    files: list[Path]
    targets: list[str]  # names in the zip

    def spaced(self, share: float) -> list[int]:
        """Numbers of so many of them, evenly spaced; two at least, which gantrain wants."""
        total = len(self.files)
        count = min(total, max(2, math.floor(share * total)))
        return [i * total // count for i in range(count)]


def main(words: Sequence[str] | None = None) -> None:
    """Raises ConfigError."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("source_b", type=Path, nargs="?")
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--max-mb", type=float, default=25)
    args = parser.parse_args(words)
    if args.side < 8 or not 0 < args.max_mb < 4000:
        raise ConfigError(
            f"--side={args.side} --max-mb={args.max_mb:g}: give at least 8 pixels, and between 0 "
            "and 4000 MB."
        )
    if args.out.suffix.lower() != ".zip" or args.out.is_dir():
        raise ConfigError(f"{args.out} is no name for a zip: give one like pack.zip.")
    groups = find(args.source, args.source_b)
    made = choose(groups, args.side, int(args.max_mb * 1e6))
    kept = {target: one for target, one in made.items() if one.content}
    if not kept:
        raise ConfigError(f"None of {len(made)} pictures can be used: {_first(made)}.")
    _refuse_lopsided(groups, kept)
    try:
        write(args.out, kept)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"{args.out} cannot be written ({why}): give another name.") from error
    for line in report(groups, made, args):
        print(line)


def find(source: Path, source_b: Path | None) -> list[Group]:
    """All pictures, by folder. Raises ConfigError."""
    for folder in (source, source_b):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{folder} is no folder: give one of pictures.")
    places: dict[str, Path] = {}
    if source_b is not None:
        for folder, (train, test) in zip((source, source_b), DOMAINS.values(), strict=True):
            split = (folder / "train").is_dir()
            places[train] = folder / "train" if split else folder
            if split and (folder / "test").is_dir():
                places[test] = folder / "test"
    else:
        names = [name for pair in DOMAINS.values() for name in pair]
        places = {name: source / name for name in names if (source / name).is_dir()}
        if lacking := {"trainA", "trainB"} - places.keys() if places else set():
            raise ConfigError(
                f"{source} has {' and '.join(places)} but not {' and '.join(sorted(lacking))}: "
                "give both, or a folder of one domain."
            )
    if not places:
        return _by_folder(source)
    groups = [_group(name, folder, list_images(folder)) for name, folder in places.items()]
    if empty := [str(places[group.name]) for group in groups if not group.files]:
        raise ConfigError(f"{' and '.join(empty)} holds no pictures: add some.")
    return groups


def _by_folder(source: Path) -> list[Group]:
    """Single pictures: a group for each of the first sub-folders, so that every class is kept."""
    files: dict[str, list[Path]] = {}
    for path in list_images(source):
        parts = path.relative_to(source).parts
        files.setdefault(parts[0] if len(parts) > 1 else "", []).append(path)
    if not files:
        raise ConfigError(f"{source} holds no pictures: add some, or give another folder.")
    return [_group(name, source / name, found) for name, found in files.items()]


def _group(name: str, folder: Path, files: list[Path]) -> Group:
    """With a name in the zip for each; after the old endings where the new one makes two alike."""
    old = [PurePosixPath(name, path.relative_to(folder).as_posix()) for path in files]
    targets = [str(path.with_suffix(".jpg")) for path in old]
    alike = len({*targets}) < len(targets)
    return Group(name, files, [f"{path}.jpg" for path in old] if alike else targets)


def choose(groups: list[Group], side: int, most: int) -> dict[str, Made]:
    """The pictures, by their name in the zip, that fit into `most` bytes, with those that failed.

    Raises ConfigError when two of every folder are too much already.
    """
    made: dict[str, Made] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:

        def size(some: list[Group], share: float) -> int:
            """Make what is not made yet; bytes of the entries."""
            chosen = [(g.targets[i], g.files[i]) for g in some for i in g.spaced(share)]
            new = [(target, path) for target, path in chosen if target not in made]
            done = pool.map(lambda one: make(one[0], one[1], side), new)
            made.update(zip([target for target, _ in new], done, strict=True))
            return sum(_entry(target, made[target]) for target, _ in chosen)

        sample = min(1.0, SAMPLE / sum(len(group.files) for group in groups))
        expected = sum(
            size([group], sample) * len(group.files) / len(group.spaced(sample)) for group in groups
        )
        # A guess from samples does not do to say that something has to be left out.
        share = 1.0 if expected < 1.25 * most else most / expected
        while (taken := size(groups, share) + END) > most:
            if all(len(group.spaced(share)) <= 2 for group in groups):
                raise ConfigError(
                    f"Two pictures of each folder take {taken / 1e6:.3f} MB, more than "
                    f"--max-mb={most / 1e6:g}: give more, or a smaller --side."
                )
            share *= 0.99 * most / taken
    return {g.targets[i]: made[g.targets[i]] for g in groups for i in g.spaced(share)}


def _entry(target: str, made: Made) -> int:
    """Bytes of one entry: two headers, each with the name, and the content."""
    if not made.content:
        return 0
    return 30 + 46 + 2 * len(target.encode()) + len(made.content)


def make(target: str, path: Path, side: int) -> Made:
    """The picture as it is packed, under the name `target`."""
    try:
        target.encode()
        pixels, _ = decode(path)
    except UnicodeEncodeError:
        return Made(fault="has a name that is not in UTF-8, which a zip cannot hold")
    except ImageFault as fault:
        return Made(fault=str(fault))
    if pixels.dtype != np.uint8:
        return Made(fault="has more than 8 bits per channel, which JPEG cannot hold")
    transparent = False
    if pixels.shape[-1] in (2, 4):
        transparent = bool((pixels[..., -1] < 255).any())
        pixels = _on_white(pixels)
    square = FitResize("crop", "lanczos", (side, side)).resize(pixels)
    file = io.BytesIO()
    image = Image.fromarray(square[..., 0] if square.shape[-1] == 1 else square)
    image.save(file, format="JPEG", quality=QUALITY)
    return Made(file.getvalue(), flattened=transparent)


def _on_white(x: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 1 or 3] of one with alpha."""
    colours, alpha = x[..., :-1].astype(np.uint32), x[..., -1:].astype(np.uint32)
    return ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _refuse_lopsided(groups: list[Group], kept: dict[str, Made]) -> None:
    """Raises ConfigError where a folder of a domain would lack the pictures gantrain wants."""
    for group in groups:
        least = {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1}.get(group.name, 0)
        if (count := sum(target in kept for target in group.targets)) < least:
            raise ConfigError(
                f"{group.name}: {count} of the pictures that fit can be used, and {least} are "
                "needed: add some, or give more with --max-mb."
            )


def write(out: Path, kept: dict[str, Made]) -> None:
    """The zip, whole or not at all; the bytes depend on nothing but `kept`. Raises OSError."""
    with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(kept):
            entry = zipfile.ZipInfo(name, EVER)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o644 << 16
            target.writestr(entry, kept[name].content)


def report(groups: list[Group], made: dict[str, Made], args: argparse.Namespace) -> list[str]:
    """What is in the pack, what is not, and how it is used."""
    lines = []
    for group in groups:
        counts = sum(bool(made[t].content) for t in group.targets if t in made), len(group.files)
        lines.append(f"{group.name or '(top)'}: {counts[0]} of {counts[1]} pictures")
    bad = {target: one.fault for target, one in made.items() if one.fault}
    files = {t: path for g in groups for t, path in zip(g.targets, g.files, strict=True)}
    if bad:
        lines.append(f"{len(bad)} cannot be used:")
        lines += [f"  {_shown(files[target])} {bad[target]}" for target in list(bad)[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(f"  and {len(bad) - SHOWN} more")
    if flattened := sum(one.flattened for one in made.values()):
        lines.append(f"{flattened} had transparency, which is white now")
    if (args.source / LABEL_FILE).exists():
        lines.append(f"{LABEL_FILE} is left out: with data.labels=true, folders are the classes")
    kept, size = sum(bool(one.content) for one in made.values()), args.out.stat().st_size
    thinned = f", evenly spaced to fit into {args.max_mb:g} MB" if len(made) < len(files) else ""
    lines.append(f"{kept} of {len(files)} pictures, {size / 1e6:.1f} MB{thinned}")
    lines.append(f"data=folder data.root={args.out} data.resolution={args.side}")
    return lines


def _first(made: dict[str, Made]) -> str:
    target, one = next(iter(made.items()))
    return f"{_shown(target)} {one.fault}"


def _shown(name: object) -> str:
    """With "?" for what no terminal can show."""
    return str(name).encode(errors="replace").decode()


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
