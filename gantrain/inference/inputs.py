"""Which pictures are translated, and what their results are called."""

import glob
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gantrain.data.decode import holds_floats
from gantrain.data.image_files import is_image, list_images
from gantrain.errors import ConfigError


@dataclass(frozen=True)
class TranslationTask:
    """One picture and the name of its result, a path below the output folder."""

    source: Path
    name: str


def find_tasks(inputs: list[str], keep_format: bool) -> list[TranslationTask]:
    """All pictures that `inputs` name: files, folders (with all below them), patterns; each once.

    A result keeps the picture's path below the folder, or below the part of a pattern before its
    first wildcard, with ".png" in place of its own ending (".tiff" for floats, which PNG cannot
    hold) unless `keep_format`. Pictures that differ in nothing else keep both endings.

    Raises:
        ConfigError: one sentence for each input that names no picture.
    """
    found: dict[Path, PurePosixPath] = {}
    problems: list[str] = []
    for text in inputs:
        home, sources = _matching(text)
        if not sources:
            problems.append(f"input={text}: there is no such picture, nor a folder with pictures.")
        for source in sources:
            found.setdefault(source.resolve(), PurePosixPath(source.relative_to(home).as_posix()))
    if problems:
        raise ConfigError(*problems)
    if keep_format:
        names = {source: str(name) for source, name in found.items()}
    else:
        suffixes = {source: ".tiff" if holds_floats(source) else ".png" for source in found}
        names = {source: str(name.with_suffix(suffixes[source])) for source, name in found.items()}
        shared = Counter(names.values())
        for source, name in names.items():
            if shared[name] > 1:  # cat.jpg and cat.bmp become cat.jpg.png and cat.bmp.png
                names[source] = f"{found[source]}{suffixes[source]}"
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise ConfigError(
            f"{len(twice)} results would have the same name, such as {twice[0]}: translate the "
            "folders one by one, or give the folder above them."
        )
    return [TranslationTask(source, name) for source, name in names.items()]


def _matching(text: str) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the pictures."""
    path = Path(text).expanduser()
    if path.is_dir():
        return path, list_images(path)
    if path.is_file():
        return path.parent, [path]
    wild = [i for i, part in enumerate(path.parts) if glob.has_magic(part)]
    if not wild:
        return path, []
    home = Path(*path.parts[: wild[0]])
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    files = [match for match in matches if match.is_file() and is_image(match.name)]
    for folder in (match for match in matches if match.is_dir()):
        files += list_images(folder)
    return home, files
