"""Find the images to translate and name their results."""

import glob
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gantrain.data.decode import holds_floats
from gantrain.data.image_files import is_image, list_images
from gantrain.errors import ConfigError


@dataclass(frozen=True)
class TranslationTask:
    """An image to translate.

    Args:
        source: its file.
        name: of the result, a path below the output folder.
    """

    source: Path
    name: str


def find_tasks(inputs: list[str], keep_format: bool) -> list[TranslationTask]:
    """Return all images that the inputs name, each once.

    A result keeps the image's path below the folder, or below the part of a pattern before its
    first wildcard. Its suffix becomes ".png" (".tiff" for floats, which PNG cannot store); images
    whose paths differ in the suffix only keep theirs in front of the new one.

    Args:
        inputs: files, folders (with everything below) and glob patterns.
        keep_format: whether results keep their suffix.

    Raises:
        ConfigError: an input names no image, or two results would have the same name.
    """
    paths: dict[Path, PurePosixPath] = {}  # source to path of the result, with the source's suffix
    problems: list[str] = []
    for text in inputs:
        root, sources = _find_images(text)
        if not sources:
            problems.append(f"input={text}: there is no such image and no folder with images.")
        for source in sources:
            paths.setdefault(source.resolve(), PurePosixPath(source.relative_to(root).as_posix()))
    if problems:
        raise ConfigError(*problems)
    if keep_format:
        names = {source: str(path) for source, path in paths.items()}
    else:
        suffixes = {source: ".tiff" if holds_floats(source) else ".png" for source in paths}
        names = {source: str(path.with_suffix(suffixes[source])) for source, path in paths.items()}
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
