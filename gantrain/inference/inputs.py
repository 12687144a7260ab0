"""Find the images to translate and name their results."""

import glob
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gantrain.data.decode import holds_floats
from gantrain.data.image_files import is_image, list_files
from gantrain.errors import ConfigError
from gantrain.inference.video_reader import is_video
from gantrain.inference.video_writer import Encoding

RECORD_FILE = "translate.json"  # marks a folder of results


@dataclass(frozen=True)
class TranslationTask:
    """An image or a video to translate.

    Args:
        source: its file.
        name: of the result, a path below the output folder.
        encoding: how a video's result is compressed.
    """

    source: Path
    name: str
    encoding: str = ""


def find_tasks(
    inputs: list[str], keep_format: bool, floats: bool = False, output: Path | None = None
) -> tuple[list[TranslationTask], list[Path]]:
    """Return all images that the inputs name, each once, and the results among them, left out.

    Results are the files in `output`, and in folders of earlier translations below an input.

    A result keeps the image's path below the folder, or below the part of a pattern before its
    first wildcard. Its suffix becomes ".png" (".tiff" for floats, which PNG cannot store); images
    whose paths differ in the suffix only keep theirs in front of the new one.

    Args:
        inputs: files, folders (with everything below) and glob patterns.
        keep_format: whether results keep their suffix.
        floats: whether all results are floats, whatever the images are.
        output: the folder of the results.

    Raises:
        ConfigError: an input names no image or lies in `output`, or two results would have the same
            name.
    """
    left_out: list[Path] = []
    paths: dict[Path, PurePosixPath] = {}  # source to path of the result, with the source's suffix
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
            paths.setdefault(source.resolve(), PurePosixPath(source.relative_to(root).as_posix()))
    if problems:
        raise ConfigError(*problems)
    if keep_format:
        names = {source: str(path) for source, path in paths.items()}
    else:
        suffixes = {s: ".tiff" if floats or holds_floats(s) else ".png" for s in paths}
        names = {source: str(path.with_suffix(suffixes[source])) for source, path in paths.items()}
        counts = Counter(names.values())
        for source, name in names.items():
            if counts[name] > 1:  # cat.jpg and cat.bmp become cat.jpg.png and cat.bmp.png
                names[source] = f"{paths[source]}{suffixes[source]}"
    _refuse_duplicates(names)
    return [TranslationTask(source, name) for source, name in names.items()], left_out


def _refuse_duplicates(names: dict[Path, str]) -> None:
    duplicates = [name for name, count in Counter(names.values()).items() if count > 1]
    if duplicates:
        raise ConfigError(
            f"{len(duplicates)} results would have the same name, such as {duplicates[0]}: "
            "translate the folders one by one, or give the folder above them."
        )


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


def find_videos(
    inputs: list[str], output: Path | None, encoding: Encoding
) -> tuple[list[TranslationTask], list[str]]:
    """Return all videos that the inputs name, each once, and the inputs with other files.

    A result keeps the video's path like that of an image, see `find_tasks`, and its suffix where
    that can be written; results of earlier translations are left out.

    Args:
        inputs: files, folders (with everything below) and glob patterns.
        output: the folder of the results.
        encoding: how results are compressed.

    Raises:
        ConfigError: two results would have the same name.
    """
    others: list[str] = []
    paths: dict[Path, PurePosixPath] = {}
    for text in inputs:
        root, found = _find(text, is_video)
        found = [file for file in found if is_video(file.name)]
        is_file = Path(text).expanduser().is_file()
        if not found or (not is_file and _find_images(text)[1]):
            others.append(text)
        if found and output and _is_inside(root, output.resolve()):
            raise ConfigError(f"input={text} lies in output={output}: give another output.")
        own = set(_results(root, found, output))
        for source in (file for file in found if file not in own):
            path = PurePosixPath(source.relative_to(root).as_posix())
            paths.setdefault(source.resolve(), path)
    if not (paths or others):
        raise ConfigError(f"input={inputs[0]} holds only results of gantrain translate.")
    suffixes = {source: encoding.suffix(path.name) for source, path in paths.items()}
    names = {source: str(path.with_suffix(suffixes[source])) for source, path in paths.items()}
    counts = Counter(names.values())
    for source, name in names.items():
        if counts[name] > 1 and str(paths[source]) != name:  # clip.avi beside clip.mp4
            names[source] = f"{paths[source]}{suffixes[source]}"
    _refuse_duplicates(names)
    how = encoding.describe()
    return [TranslationTask(source, name, how) for source, name in names.items()], others


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
