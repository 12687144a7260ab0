"""Find the images to translate and name their results."""

import glob
import importlib.util
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePath

from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import count_images, image_size
from gantrain.data.image_files import is_image, list_files, list_images
from gantrain.data.stack import match_names
from gantrain.data.views import PLAIN, AnyFile, Formats, Stack, View, part_names, split_suffix
from gantrain.errors import ConfigError, counted
from gantrain.inference.video_reader import is_video
from gantrain.inference.video_writer import Encoding
from gantrain.io.plain_files import load_json

RECORD_FILE = "translate.json"  # marks a folder of results


@dataclass(frozen=True)
class TranslationTask:
    """An image or a video to translate.

    Args:
        source: its file or files.
        name: of the result, a path below the output folder.
        encoding: how a video's result is compressed.
    """

    source: AnyFile
    name: str
    encoding: str = ""


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
            f"{counted(len(duplicates), 'result')} would have the name of another, such as "
            f"{duplicates[0]}: translate the folders one by one, or give the folder above them."
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


def _has_record(file: Path) -> bool:
    """Return whether a file is a result with a record of its own beside it."""
    try:
        content = load_json(file.with_name(f"{file.name}.json"))
    except (OSError, ValueError):  # there is none, or it is another program's
        return False
    return isinstance(content, dict) and {"snapshot", "direction", "input"} <= content.keys()


def becomes_file(output: Path) -> bool:
    """Return whether an output is a file, which one video becomes, rather than a folder."""
    return is_video(output.name) and not output.is_dir()


def find_videos(
    inputs: list[str], output: Path, encoding: Encoding
) -> tuple[list[TranslationTask], list[str]]:
    """Return all videos that the inputs name, each once, and the inputs with other files.

    A result keeps the video's path like that of an image, see `find_tasks`, and its suffix where
    that can be written; results of earlier translations are left out.

    Args:
        inputs: files, folders (with everything below) and glob patterns.
        output: the folder of the results, or the file that one video becomes.
        encoding: how results are compressed.

    Raises:
        ConfigError: an input lies in `output`, two results would have the same name, a file
            cannot hold the codec, or the output is a file and the input not one video.
    """
    folder = None if becomes_file(output) else output
    others: list[str] = []
    paths: Images = {}
    for text in inputs:
        root, found = _find(text, is_video)
        found = [file for file in found if is_video(file.name)]
        is_file = Path(text).expanduser().is_file()
        if not found or (not is_file and _find_images(text)[1]):
            others.append(text)
        if found and folder and _is_inside(root, folder.resolve()):
            raise ConfigError(f"input={text} lies in output={output}: give another output.")
        own = set(_results(root, found, folder))
        own |= set() if is_file else {file for file in found if _has_record(file)}
        for source in (file for file in found if file not in own):
            paths.setdefault(source.resolve(), source.relative_to(root).as_posix())
    if not (paths or others):
        raise ConfigError(f"input={inputs[0]} holds only results of gantrain translate.")
    if folder is None and (len(paths) != 1 or others):
        raise ConfigError(
            f"output={output} is a file for one video, and input names something else: give a "
            "folder."
        )
    if folder is None:
        clips = [TranslationTask(source, output.name) for source in paths]
    else:
        clips = _named(paths, lambda source: encoding.suffix(paths[source]))
    if importlib.util.find_spec("av") is not None:  # else each video is skipped
        for clip in clips:
            encoding.codec_for(PurePath(clip.name).suffix)
    return [replace(clip, encoding=encoding.describe()) for clip in clips], others


def describe_count(
    images: list[TranslationTask], videos: list[TranslationTask], left_out: Container[AnyFile] = ()
) -> str:
    """Return a count such as "3 images and 1 video", without the sources in `left_out`."""
    counts = [sum(t.source not in left_out for t in tasks) for tasks in (images, videos)]
    parts = [counted(counts[0], "image")] if images or not videos else []
    return " and ".join([*parts, counted(counts[1], "video")] if videos else parts)


def batches_of_one_size(
    tasks: list[TranslationTask], batch: int, tile: int | None, faults: dict[AnyFile, str]
) -> Iterator[list[TranslationTask]]:
    """Yield up to `batch` successive images of the same size.

    Args:
        tasks: the images.
        batch: the most of them.
        tile: images of more than tile x tile pixels come one at a time; None: none do.
        faults: gets the images whose size cannot be read, and why.
    """

    def size(task: TranslationTask) -> tuple[int, int] | None:
        try:
            return image_size(task.source)
        except ImageFault as fault:
            faults[task.source] = str(fault)
            return None

    for shape, group in groupby(tasks, size):
        members = list(group)
        if shape is not None:
            is_large = tile is not None and shape[0] * shape[1] > tile * tile
            count = 1 if is_large else batch
            for i in range(0, len(members), count):
                yield members[i : i + count]


def _find_images(text: str) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the images."""
    return _find(text, is_image)


def _find(text: str, is_wanted: Callable[[str], bool]) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the files; one named itself is any."""
    path = Path(text).expanduser()
    if path.is_dir():
        return path, _wanted(path, is_wanted)
    if path.is_file():
        return path.parent, [path]
    wildcards = [i for i, part in enumerate(path.parts) if glob.has_magic(part)]
    if not wildcards:
        return path, []
    root = Path(*path.parts[: wildcards[0]])
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    files = [match for match in matches if match.is_file() and is_wanted(match.name)]
    for folder in (match for match in matches if match.is_dir()):
        files += _wanted(folder, is_wanted)
    return root, files


def _wanted(folder: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    return [file for file in list_files(folder) if is_wanted(file.name)]
