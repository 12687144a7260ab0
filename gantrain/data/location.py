"""Locations of images: folders and zip archives, perhaps with train/ and test/ in them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gantrain.data.archive import ImageFile, Member, list_members
from gantrain.data.image_files import EXTENSIONS, is_image, list_images
from gantrain.errors import ConfigError

LABEL_FILE = "dataset.json"


@dataclass(frozen=True)
class ImageLocation:
    """A folder, or a folder inside a zip archive.

    Args:
        path: the folder or the archive.
        prefix: path inside the archive, "" for its top; None: `path` is no archive.
    """

    path: Path
    prefix: str | None = None

    def __str__(self) -> str:
        return str(self.path) if not self.prefix else f"{self.path}!/{self.prefix}".rstrip("/")

    def below(self, name: str) -> "ImageLocation":
        """Return the folder `name` in this one."""
        if self.prefix is None:
            return ImageLocation(self.path / name)
        return ImageLocation(self.path, f"{self.prefix}{name}/")

    def names(self) -> list[str]:
        """Return the paths of all images below this folder, sorted, with forward slashes."""
        if self.prefix is None:
            return [path.relative_to(self.path).as_posix() for path in list_images(self.path)]
        return [name for name in self._members() if is_image(name.rpartition("/")[2])]

    def image(self, name: str) -> ImageFile:
        """Return the file of a path from `names`."""
        if self.prefix is None:
            return self.path / name
        return Member(self.path, f"{self.prefix}{name}")

    def label_file(self) -> bytes | None:
        """Return the content of dataset.json, or None if there is none.

        Raises:
            ConfigError: the file cannot be read.
        """
        file = self.image(LABEL_FILE)
        try:
            if isinstance(file, Path):
                return file.read_bytes() if file.exists() else None
            return file.read() if LABEL_FILE in self._members() else None
        except OSError as error:
            raise ConfigError(f"{file} cannot be read ({error.strerror or error}).") from error

    def content(self) -> tuple[list[str], bool]:
        """Return the folders directly in this one, sorted, and whether it has images or labels.

        Raises:
            ConfigError: the folder cannot be listed.
        """
        if self.prefix is None:
            try:
                entries = [(e.name, e.is_dir()) for e in os.scandir(self.path)]
            except OSError as error:
                raise ConfigError(
                    f"{self.path} cannot be listed ({error.strerror}): check its permissions."
                ) from error
        else:
            parts = [name.split("/", 1) for name in self._members()]
            entries = [(first, bool(rest)) for first, *rest in parts]
        folders = sorted({name for name, is_dir in entries if is_dir and name[0] != "."})
        files = {name for name, is_dir in entries if not is_dir}
        return folders, LABEL_FILE in files or any(map(is_image, files))

    def _members(self) -> list[str]:
        assert self.prefix is not None
        names = [name for name in list_members(self.path) if name.startswith(self.prefix)]
        return [name.removeprefix(self.prefix) for name in names]


@dataclass(frozen=True)
class ResolvedRoot:
    """The folders of a set of single images.

    Args:
        top: holds the splits, or is "train" itself.
        splits: folders of "train" and perhaps "test".
        unused: names of folders beside train/ and test/.
    """

    top: ImageLocation
    splits: dict[str, ImageLocation]
    unused: list[str]


def held_out_indices(total: int, count: int) -> list[int]:
    """Return `count` evenly spaced indices of `total` images, to be used as test images.

    Args:
        total: images of the set.
        count: images to hold out.

    Raises:
        ConfigError: fewer than 2 images would be left to train on.
    """
    if total - count < 2:
        raise ConfigError(
            f"data.held_out={count} of {total} images leaves {max(total - count, 0)} to train "
            f"on: give at most {max(total - 2, 0)}, or add images."
        )
    return [i * total // count for i in range(count)]


def resolve_root(root: str | None, hint: str | None) -> ResolvedRoot:
    """Return the folders that data.root names; a single folder around everything is entered.

    Args:
        root: a folder or a zip archive.
        hint: an extra sentence for errors about a missing root.

    Raises:
        ConfigError: there are no images of one domain there.
    """
    hints = [hint] if hint else []
    if root is None:
        raise ConfigError(
            "data.root is not set: give data.root=FOLDER or a .zip of images.", *hints
        )
    top = open_root("data.root", root, hints)
    folders, has_files = top.content()
    while len(folders) == 1 and not has_files and folders[0] not in ("train", "test"):
        top = top.below(folders[0])
        folders, has_files = top.content()
    if domains := [name for name in folders if name in ("trainA", "trainB")]:
        raise ConfigError(
            f"{top} holds images of two domains, which should not be mixed: choose one with "
            f"data.root={top.below(domains[0])}."
            if top.prefix is None
            else f"{top} holds images of two domains: unpack it and give one of its folders."
        )
    if "train" in folders:
        splits = {name: top.below(name) for name in ("train", "test") if name in folders}
        return ResolvedRoot(top, splits, [name for name in folders if name not in splits])
    if "test" in folders:
        raise ConfigError(
            f"{top} has test/ but not train/, so test images would be trained on: move the "
            "training images to train/, or test/ elsewhere."
        )
    return ResolvedRoot(top, {"train": top}, [])


def holds_two_domains(root: str) -> bool:
    """Return whether data.root names a folder or archive with trainA/ or trainB/ in it."""
    path = Path(root).expanduser()
    if path.is_dir():
        return any((path / name).is_dir() for name in ("trainA", "trainB"))
    if not (path.is_file() and path.suffix.lower() == ".zip"):
        return False
    return any({"trainA", "trainB"} & set(name.split("/")[:2]) for name in list_members(path))


def no_images_message(folder: ImageLocation) -> str:
    """Return a sentence about a folder without images."""
    suffixes = " ".join(suffix[1:] for suffix in EXTENSIONS)
    return f"{folder} holds no images ({suffixes}): add some, or check data.root."


def open_root(
    setting: str, value: str, hints: Sequence[str], instead: str = "extract it first"
) -> ImageLocation:
    """Return the folder or zip archive that a setting names.

    Args:
        setting: the dotted key, for sentences.
        value: the path; "~" is expanded.
        hints: extra sentences for the error about a missing path.
        instead: what to do about a file that is no zip archive.

    Raises:
        ConfigError: there is no folder or zip archive of this name.
    """
    path = Path(value).expanduser()
    if path.is_dir():
        return ImageLocation(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return ImageLocation(path, "")
    if path.exists():
        raise ConfigError(
            f"{setting}={value} is a file, but a folder of images or a .zip is expected: {instead}."
        )
    where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
    raise ConfigError(f"{setting}={value} does not exist{where}: check the path.", *hints)
