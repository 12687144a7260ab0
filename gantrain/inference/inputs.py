"""Find the images to translate and name their results."""

import glob
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gantrain.data.decode import count_images
from gantrain.data.image_files import is_image, list_images
from gantrain.data.stack import match_names
from gantrain.data.views import PLAIN, AnyFile, Formats, Stack, View, part_names, split_suffix
from gantrain.errors import ConfigError

RECORD_FILE = "translate.json"  # marks a folder of results


@dataclass(frozen=True)
class TranslationTask:
    """An image to translate.

    Args:
        source: its file or files.
        name: of the result, a path below the output folder.
    """

    source: AnyFile
    name: str


Images = dict[AnyFile, str]  # source to path of the result, with the source's suffix


def find_tasks(
    inputs: list[str],
    suffix_of: Callable[[AnyFile], str] | None,
    output: Path | None = None,
    formats: Formats = PLAIN,
    stacked: int = 1,
) -> tuple[list[TranslationTask], list[Path]]:
    """Return all images that the inputs name, each once, and the results among them, left out.

    Results are the files in `output`, and in folders of earlier translations below an input.

    A result keeps the image's path below the folder, or below the part of a pattern before its
    first wildcard. Its suffix becomes that of `suffix_of`; images whose paths differ in the suffix
    only keep theirs in front of the new one. Of a file with several images, each has a result.

    Args:
        inputs: files, folders (with everything below) and glob patterns.
        suffix_of: the suffix of an image's result; None: results keep their suffix.
        output: the folder of the results.
        formats: how files are read.
        stacked: above 1, inputs are that many folders whose images of the same name are stacked.

    Raises:
        ConfigError: an input names no image or lies in `output`, or two results would have the same
            name.
    """
    if stacked > 1:
        stacks, left_out = _find_stacks(inputs, formats, stacked, output)
        return _named(stacks, suffix_of), left_out
    left_out: list[Path] = []
    paths: Images = {}
    problems: list[str] = []
    for text in inputs:
        root, found = _find_images(text)
        if output and _is_inside(root, output.resolve()):
            problems.append(f"input={text} lies in output={output}: give another output.")
            continue
        results = _results(root, found, output)
        left_out += results
        own = set(results)
        sources = [source for source in found if source not in own]
        if not sources and results:
            problems.append(f"input={text} holds only results of gantrain translate.")
        elif not sources:
            problems.append(f"input={text}: there is no such image and no folder with images.")
        for source in sources:
            for image, name in _images_in(source.resolve(), source.relative_to(root), formats):
                paths.setdefault(image, name)
    if problems:
        raise ConfigError(*problems)
    return _named(paths, suffix_of), left_out


def _images_in(file: Path, path: Path, formats: Formats) -> list[tuple[AnyFile, str]]:
    """Return the images in a file, and their paths; those of one among several are numbered."""
    name = path.as_posix()
    if formats == PLAIN:
        return [(file, name)]
    count = count_images(file, formats) if formats.splits_files else 1
    names = part_names(name, count)
    indices = [None] if names == [name] else range(count)
    return [(View(file, formats, i), one) for i, one in zip(indices, names, strict=True)]


def _find_stacks(
    inputs: list[str], formats: Formats, stacked: int, output: Path | None
) -> tuple[Images, list[Path]]:
    """Return stacks of the images of the same name in several folders, and the results there."""
    folders = [Path(text).expanduser() for text in inputs]
    if len(folders) != stacked or not all(map(Path.is_dir, folders)):
        raise ConfigError(
            f"The run was trained on images stacked from {stacked} folders: give input=["
            f"{','.join(f'DIR{i + 1}' for i in range(stacked))}], {stacked} folders in the order "
            "of training."
        )
    files = [list_images(folder) for folder in folders]
    left_out = [
        file
        for folder, listed in zip(folders, files, strict=True)
        for file in _results(folder, listed, output)
    ]
    own = set(left_out)
    found = [
        {
            name: image
            for file in listed
            if file not in own
            for image, name in _images_in(file.resolve(), file.relative_to(folder), formats)
        }
        for folder, listed in zip(folders, files, strict=True)
    ]
    rows = match_names(folders, [list(images) for images in found])
    stacks: Images = {}
    for row in rows:
        parts = [images[name] for images, name in zip(found, row, strict=True)]
        stacks[Stack(tuple(part for part in parts if not isinstance(part, Stack)))] = row[0]
    if not stacks:
        raise ConfigError(f"input={inputs[0]}: there is no folder with images.")
    return stacks, left_out


def _named(paths: Images, suffix_of: Callable[[AnyFile], str] | None) -> list[TranslationTask]:
    """Return the tasks, whose results have names of their own."""
    if suffix_of is None:
        names = dict(paths)
    else:
        suffixes = {source: suffix_of(source) for source in paths}
        names = {s: f"{split_suffix(path)[0]}{suffixes[s]}" for s, path in paths.items()}
        counts = Counter(names.values())
        for source, name in names.items():
            if counts[name] > 1:  # cat.jpg and cat.bmp become cat.jpg.png and cat.bmp.png
                names[source] = f"{paths[source]}{suffixes[source]}"
    duplicates = [name for name, count in Counter(names.values()).items() if count > 1]
    if duplicates:
        raise ConfigError(
            f"{len(duplicates)} results would have the same name, such as {duplicates[0]}: "
            "translate the folders one by one, or give the folder above them."
        )
    return [TranslationTask(source, name) for source, name in names.items()]


def _results(root: Path, sources: Iterable[Path], output: Path | None) -> list[Path]:
    """Return the sources in `output`, or in a folder of results below `root`."""
    own = output.resolve() if output else None
    of_translations: dict[Path, bool] = {}

    def holds_results(folder: Path) -> bool:
        if folder not in of_translations:
            is_below = folder != root and root in folder.parents
            marked = is_below and (folder / RECORD_FILE).is_file()
            of_translations[folder] = marked or (is_below and holds_results(folder.parent))
        return of_translations[folder]

    return [
        source
        for source in sources
        if holds_results(source.parent) or (own is not None and _is_inside(source, own))
    ]


def _is_inside(path: Path, folder: Path) -> bool:
    return folder in (path.resolve(), *path.resolve().parents)


def _find_images(text: str) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the images."""
    path = Path(text).expanduser()
    if path.is_dir():
        return path, list_images(path)
    if path.is_file():
        return path.parent, [path]
    wildcards = [i for i, part in enumerate(path.parts) if glob.has_magic(part)]
    if not wildcards:
        return path, []
    root = Path(*path.parts[: wildcards[0]])
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    files = [match for match in matches if match.is_file() and is_image(match.name)]
    for folder in (match for match in matches if match.is_dir()):
        files += list_images(folder)
    return root, files
