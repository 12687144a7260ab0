"""Pack a folder of images into a few megabytes, in a zip file that gantrain reads directly.

python scripts/gpu_pack.py SOURCE [SOURCE_B] OUT.zip [--side 128] [--max-mb 25]

For a GPU machine to which only little data can be copied. SOURCE is a folder of images, whose
sub-folders (classes, or train/ and test/) are kept, or one with trainA/ and trainB/, and optionally
testA/ and testB/. Two folders are two domains, each with images or with train/ and maybe test/.

Every image becomes a JPEG of quality 90: turned upright, its largest central square resized to
`side` pixels (Lanczos). Grey stays grey; transparency becomes white. If the file would exceed
`max-mb` (10^6 bytes), evenly spaced images of every folder are selected. The same images give the
same bytes, with the same version of Pillow. Unusable files are listed and skipped. Exit code 2:
there is nothing to pack, or the file cannot be written.
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
SAMPLE = 512  # images from which the total size is estimated
MAX_FAULTS = 20  # unusable files that are listed
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can store
ZIP_END = 22  # bytes after the last entry of a zip file
DOMAINS = {"a": ("trainA", "testA"), "b": ("trainB", "testB")}


@dataclass(frozen=True)
class PackedImage:
    """An image of the pack, or why it cannot be used.

    Attributes:
        content: the JPEG file; b"": the image cannot be used.
        fault: why it cannot be used.
        flattened: whether it had transparency.
    """

    content: bytes = b""
    fault: str = ""
    flattened: bool = False


@dataclass
class Group:
    """The images of one folder of the pack.

    Attributes:
        name: of the folder in the pack; "": the top level.
        files: the images, sorted by name.
        targets: their names in the zip file.
    """

    name: str
    files: list[Path]
    targets: list[str]

    def spaced(self, share: float) -> list[int]:
        """Return evenly spaced indices of a share of the images, at least two (the minimum)."""
        total = len(self.files)
        count = min(total, max(2, math.floor(share * total)))
        return [i * total // count for i in range(count)]


def main(argv: Sequence[str] | None = None) -> None:
    """Pack the images and print a report.

    Raises:
        ConfigError: there is nothing to pack, or the file cannot be written.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("source_b", type=Path, nargs="?")
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--max-mb", type=float, default=25)
    args = parser.parse_args(argv)
    if args.side < 8 or not 0 < args.max_mb < 4000:
        raise ConfigError(
            f"--side={args.side} --max-mb={args.max_mb:g}: give at least 8 pixels, and between 0 "
            "and 4000 MB."
        )
    if args.out.suffix.lower() != ".zip" or args.out.is_dir():
        raise ConfigError(f"{args.out} is not a name for a zip file: give one like pack.zip.")
    groups = find_groups(args.source, args.source_b)
    images = select_images(groups, args.side, int(args.max_mb * 1e6))
    usable = {target: image for target, image in images.items() if image.content}
    if not usable:
        raise ConfigError(f"None of {len(images)} images can be used: {_first_fault(images)}.")
    _check_domains(groups, usable)
    try:
        write_zip(args.out, usable)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{args.out} cannot be written ({reason}): give another name.") from error
    for line in report_lines(groups, images, args):
        print(line)


def find_groups(source: Path, source_b: Path | None) -> list[Group]:
    """List all images, by folder.

    Raises:
        ConfigError: a folder is missing or has no images.
    """
    for folder in (source, source_b):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder: give a folder of images.")
    folders: dict[str, Path] = {}
    if source_b is not None:
        for folder, (train, test) in zip((source, source_b), DOMAINS.values(), strict=True):
            split = (folder / "train").is_dir()
            folders[train] = folder / "train" if split else folder
            if split and (folder / "test").is_dir():
                folders[test] = folder / "test"
    else:
        names = [name for pair in DOMAINS.values() for name in pair]
        folders = {name: source / name for name in names if (source / name).is_dir()}
        if missing := {"trainA", "trainB"} - folders.keys() if folders else set():
            raise ConfigError(
                f"{source} has {' and '.join(folders)} but not {' and '.join(sorted(missing))}: "
                "give both, or a folder of one domain."
            )
    if not folders:
        return _class_groups(source)
    groups = [_group(name, folder, list_images(folder)) for name, folder in folders.items()]
    if empty := [str(folders[group.name]) for group in groups if not group.files]:
        raise ConfigError(f"{' and '.join(empty)} has no images: add some.")
    return groups


def _class_groups(source: Path) -> list[Group]:
    """Return a group for each top-level sub-folder, so that every class is kept."""
    files: dict[str, list[Path]] = {}
    for path in list_images(source):
        parts = path.relative_to(source).parts
        files.setdefault(parts[0] if len(parts) > 1 else "", []).append(path)
    if not files:
        raise ConfigError(f"{source} has no images: add some, or give another folder.")
    return [_group(name, source / name, paths) for name, paths in files.items()]


def _group(name: str, folder: Path, files: list[Path]) -> Group:
    """Return a group whose target names end in .jpg, after the old suffix if they would collide."""
    paths = [PurePosixPath(name, path.relative_to(folder).as_posix()) for path in files]
    targets = [str(path.with_suffix(".jpg")) for path in paths]
    collide = len({*targets}) < len(targets)
    return Group(name, files, [f"{path}.jpg" for path in paths] if collide else targets)


def select_images(groups: list[Group], side: int, max_bytes: int) -> dict[str, PackedImage]:
    """Convert images, and select as many as fit.

    Args:
        groups: the images.
        side: pixels of the converted images.
        max_bytes: of the zip file.

    Returns:
        {name in the zip file: image}, including those that cannot be used.

    Raises:
        ConfigError: two images of every folder are already too large.
    """
    converted: dict[str, PackedImage] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:

        def convert_share(groups: list[Group], share: float) -> int:
            """Convert a share of the images, and return the bytes of their entries."""
            pairs = [(g.targets[i], g.files[i]) for g in groups for i in g.spaced(share)]
            new = [(target, path) for target, path in pairs if target not in converted]
            images = pool.map(lambda pair: convert(pair[0], pair[1], side), new)
            converted.update(zip([target for target, _ in new], images, strict=True))
            return sum(_entry_bytes(target, converted[target]) for target, _ in pairs)

        sample = min(1.0, SAMPLE / sum(len(group.files) for group in groups))
        expected = sum(
            convert_share([group], sample) * len(group.files) / len(group.spaced(sample))
            for group in groups
        )
        # The estimate is too rough to drop images if it is only a little too large.
        share = 1.0 if expected < 1.25 * max_bytes else max_bytes / expected
        while (size := convert_share(groups, share) + ZIP_END) > max_bytes:
            if all(len(group.spaced(share)) <= 2 for group in groups):
                raise ConfigError(
                    f"Two images of each folder take {size / 1e6:.3f} MB, more than "
                    f"--max-mb={max_bytes / 1e6:g}: raise it, or lower --side."
                )
            share *= 0.99 * max_bytes / size
    return {g.targets[i]: converted[g.targets[i]] for g in groups for i in g.spaced(share)}


def _entry_bytes(target: str, image: PackedImage) -> int:
    """Return the bytes of a zip entry: two headers, each with the name, and the content."""
    if not image.content:
        return 0
    return 30 + 46 + 2 * len(target.encode()) + len(image.content)


def convert(target: str, path: Path, side: int) -> PackedImage:
    """Convert an image.

    Args:
        target: its name in the zip file.
        path: the file.
        side: pixels of the converted image.
    """
    try:
        target.encode()
        image = decode(path)
    except UnicodeEncodeError:
        return PackedImage(fault="has a name that is not in UTF-8, which a zip cannot hold")
    except ImageFault as fault:
        return PackedImage(fault=str(fault))
    pixels = image.pixels
    if pixels.shape[-1] - image.alpha not in (1, 3):
        return PackedImage(fault=f"has {pixels.shape[-1]} bands, which JPEG cannot hold")
    if pixels.dtype != np.uint8:
        return PackedImage(fault="has more than 8 bits per channel, which JPEG cannot hold")
    transparent = False
    if image.alpha:
        transparent = bool((pixels[..., -1] < 255).any())
        pixels = _over_white(pixels)
    square = FitResize("crop", "lanczos", (side, side)).resize(pixels)
    file = io.BytesIO()
    packed = Image.fromarray(square[..., 0] if square.shape[-1] == 1 else square)
    packed.save(file, format="JPEG", quality=QUALITY)
    return PackedImage(file.getvalue(), flattened=transparent)


def _over_white(x: np.ndarray) -> np.ndarray:
    """Composite an image with alpha, uint8 [H, W, 2 or 4], over white, uint8 [H, W, 1 or 3]."""
    colors, alpha = x[..., :-1].astype(np.uint32), x[..., -1:].astype(np.uint32)
    return ((colors * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _check_domains(groups: list[Group], usable: dict[str, PackedImage]) -> None:
    """Raise ConfigError if a folder of a domain has too few images for gantrain."""
    for group in groups:
        required = {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1}.get(group.name, 0)
        if (count := sum(target in usable for target in group.targets)) < required:
            raise ConfigError(
                f"{group.name}: {count} of the images that fit can be used, but {required} are "
                "required: add some, or raise --max-mb."
            )


def write_zip(out: Path, images: dict[str, PackedImage]) -> None:
    """Write the zip file atomically. Its bytes depend only on `images`.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(images):
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, images[name].content)


def report_lines(
    groups: list[Group], images: dict[str, PackedImage], args: argparse.Namespace
) -> list[str]:
    """Return lines about what is in the pack, what is not, and how to use it."""
    lines = []
    for group in groups:
        count = sum(bool(images[t].content) for t in group.targets if t in images)
        lines.append(f"{group.name or '(top)'}: {count} of {len(group.files)} images")
    faults = {target: image.fault for target, image in images.items() if image.fault}
    files = {t: path for g in groups for t, path in zip(g.targets, g.files, strict=True)}
    if faults:
        lines.append(f"{len(faults)} cannot be used:")
        for target in list(faults)[:MAX_FAULTS]:
            lines.append(f"  {_printable(files[target])} {faults[target]}")
    if len(faults) > MAX_FAULTS:
        lines.append(f"  and {len(faults) - MAX_FAULTS} more")
    if flattened := sum(image.flattened for image in images.values()):
        lines.append(f"{flattened} had transparency, which is white now")
    if (args.source / LABEL_FILE).exists():
        lines.append(f"{LABEL_FILE} is not packed: with data.labels=true, folders are the classes")
    count, size = sum(bool(image.content) for image in images.values()), args.out.stat().st_size
    selected = f", evenly spaced to fit into {args.max_mb:g} MB" if len(images) < len(files) else ""
    lines.append(f"{count} of {len(files)} images, {size / 1e6:.1f} MB{selected}")
    lines.append(f"data=folder data.root={args.out} data.resolution={args.side}")
    return lines


def _first_fault(images: dict[str, PackedImage]) -> str:
    target, image = next(iter(images.items()))
    return f"{_printable(target)} {image.fault}"


def _printable(name: object) -> str:
    """Return a name with "?" for characters that cannot be printed."""
    return str(name).encode(errors="replace").decode()


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
