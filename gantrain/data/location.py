"""Locations of images: folders and zip archives, perhaps with train/ and test/ in them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gantrain.data.archive import Archive, ImageFile, Member, list_members
from gantrain.data.decode import count_images
from gantrain.data.image_files import EXTENSIONS, Reading, is_image, list_files
from gantrain.data.splits import domain_of, find_domains, find_splits, split_of
from gantrain.data.stack import match_names
from gantrain.data.views import (
    PLAIN,
    AnyFile,
    Formats,
    Stack,
    View,
    parse_part,
    part_names,
)
from gantrain.errors import ConfigError, counted
from gantrain.io.cache import cache_home
from gantrain.io.names import local_path
from gantrain.io.remote.address import is_address, meant_address
from gantrain.io.remote.blocks import BlockSettings
from gantrain.io.remote.objects import RemoteFolder, open_file, open_folder

LABEL_FILE = "dataset.json"


@dataclass(frozen=True)
class ImageLocation:
    """A folder, or a folder inside a zip archive or a remote folder.

    Args:
        path: the folder or the archive.
        prefix: path inside the archive, "" for its top; None: `path` is a local folder.
        reading: decides which files are images.
        formats: decides how many images a file holds, and how they are read.
        stacked: folders whose images of the same name are further channels of these images.
    """

    path: Archive
    prefix: str | None = None
    reading: Reading = 3
    formats: Formats = PLAIN
    stacked: "tuple[ImageLocation, ...]" = ()

    def __str__(self) -> str:
        return str(self.file(self.prefix.rstrip("/")) if self.prefix else self.path)

    @property
    def is_archive(self) -> bool:
        """Whether this is in an archive, which would have to be unpacked to be changed."""
        return self.prefix is not None and not isinstance(self.path, RemoteFolder)

    @property
    def _folder(self) -> Path:
        """The local folder, if `prefix` is None."""
        assert isinstance(self.path, Path)
        return self.path

    @property
    def folder_name(self) -> str:
        """The last part of the folder's path."""
        return self.prefix.rstrip("/").rpartition("/")[2] if self.prefix else self.path.name

    @property
    def version(self) -> str | None:
        """A digest of the version of what is remote; None: this is local."""
        if isinstance(self.path, Path):
            return None
        content = self.path.identity()
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def parts(self) -> tuple[str, ...]:
        """Return the parts of the path; those of a folder begin with those of one around it."""
        if isinstance(self.path, Path):
            return self.path.resolve().parts
        return tuple(f"{self.path}/{self.prefix}".rstrip("/").split("/"))

    def below(self, name: str) -> "ImageLocation":
        """Return the folder `name` in this one."""
        stacked = tuple(place.below(name) for place in self.stacked)
        if self.prefix is None:
            return replace(self, path=self._folder / name, stacked=stacked)
        return replace(self, prefix=f"{self.prefix}{name}/", stacked=stacked)

    def names(self) -> list[str]:
        """Return the paths of all images below this folder, sorted, with forward slashes.

        An image in a file of several has a name of its own, see `part_names`.
        """
        return self.names_and_others()[0]

    def names_and_others(self) -> tuple[list[str], list[str]]:
        """Return `names`, and the paths of all other files.

        Raises:
            ConfigError: stacked folders hold other names.
        """
        if self.prefix is None:
            files = [path.relative_to(self._folder).as_posix() for path in list_files(self._folder)]
        else:
            files = self._members()
        images = [name for name in files if is_image(name.rpartition("/")[2], self.reading)]
        known = set(images)
        others = [name for name in files if name not in known]
        if self.formats.splits_files:
            counts = [count_images(self.file(name), self.formats) for name in images]
            parts = zip(images, counts, strict=True)
            images = [part for name, count in parts for part in part_names(name, count)]
        if self.stacked:
            match_names([self, *self.stacked], [images, *self._names_beside()])
        return images, others

    def images(self, names: Sequence[str]) -> list[AnyFile]:
        """Return the images of paths from `names`."""
        if not self.stacked:
            return [self._image(name) for name in names]
        rows = match_names([self, *self.stacked], [self.names(), *self._names_beside()])
        wanted = {row[0]: row for row in rows}
        places = (self, *self.stacked)
        return [
            Stack(tuple(place._image(one) for place, one in zip(places, wanted[n], strict=True)))
            for n in names
        ]

    def _names_beside(self) -> list[list[str]]:
        return [place.names() for place in self.stacked]

    def _image(self, name: str) -> ImageFile | View:
        if self.formats == PLAIN:
            return self.file(name)
        file, index = parse_part(name) if self.formats.splits_files else (name, None)
        return View(self.file(file), self.formats, index)

    def file(self, name: str) -> ImageFile:
        """Return the file of a path below this folder."""
        if self.prefix is None:
            return self._folder / name
        return Member(self.path, f"{self.prefix}{name}")

    def label_file(self) -> bytes | None:
        """Return the content of dataset.json, or None if there is none.

        Raises:
            ConfigError: the file cannot be read.
        """
        file = self.file(LABEL_FILE)
        try:
            if isinstance(file, Path):
                return file.read_bytes() if file.exists() else None
            return file.read() if LABEL_FILE in self._members() else None
        except OSError as error:
            raise ConfigError(f"{file} cannot be read ({error.strerror or error}).") from error

    def loose_images(self) -> int:
        """Return the number of images directly in this folder."""
        if self.prefix is None:
            names = [entry.name for entry in os.scandir(self._folder) if not entry.is_dir()]
        else:
            names = [name for name in self._members() if "/" not in name]
        return sum(is_image(name, self.reading) for name in names)

    def content(self) -> tuple[list[str], bool]:
        """Return the folders directly in this one, sorted, and whether it has images or labels.

        Raises:
            ConfigError: the folder cannot be listed.
        """
        if self.prefix is None:
            try:
                entries = [(e.name, e.is_dir()) for e in os.scandir(self._folder)]
            except OSError as error:
                raise ConfigError(
                    f"{self.path} cannot be listed ({error.strerror}): check its permissions."
                ) from error
        else:
            parts = [name.split("/", 1) for name in self._members()]
            entries = [(first, bool(rest)) for first, *rest in parts]
        folders = sorted({name for name, is_dir in entries if is_dir and name[0] != "."})
        files = {name for name, is_dir in entries if not is_dir}
        has_images = any(is_image(name, self.reading) for name in files)
        return folders, LABEL_FILE in files or has_images

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
        loose: number of images beside them.
    """

    top: ImageLocation
    splits: dict[str, ImageLocation]
    unused: list[str]
    loose: int = 0


def describe_versions(folders: Mapping[str, ImageLocation]) -> dict[str, dict[str, str]]:
    """Return {"versions": ...}, by split, of a set that is remote; {}: it is local.

    Args:
        folders: by split.
    """
    versions = {split: place.version for split, place in folders.items()}
    found = {split: version for split, version in versions.items() if version}
    return {"versions": found} if found else {}


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
            f"data.held_out={count} of {counted(total, 'image')} leaves {max(total - count, 0)} to "
            f"train on: give at most {max(total - 2, 0)}, or add images."
        )
    return [i * total // count for i in range(count)]


def resolve_root(
    root: str | None,
    hint: str | None,
    reading: Reading = 3,
    formats: Formats = PLAIN,
    blocks: BlockSettings | None = None,
) -> ResolvedRoot:
    """Return the folders that data.root names; a single folder around everything is entered.

    Args:
        root: a folder or a zip archive, or the address of one.
        hint: an extra sentence for errors about a missing root.
        reading: see `gantrain.data.splits.find_splits`.
        formats: see `ImageLocation`.
        blocks: see `open_root`.

    Raises:
        ConfigError: there are no images of one domain there.
    """
    hints = [hint] if hint else []
    if root is None:
        raise ConfigError(
            "data.root is not set: give data.root=FOLDER or a .zip of images.", *hints
        )
    top = open_root("data.root", root, hints, blocks=blocks)
    top = replace(top, reading=reading, formats=formats)
    folders, has_files = top.content()
    while len(folders) == 1 and not has_files and not find_splits(folders, top, reading):
        top = top.below(folders[0])
        folders, has_files = top.content()
    found = find_domains(folders, top, reading)
    if domains := [name for key, name in found.items() if key.startswith("train")]:
        raise ConfigError(
            f"{top} holds images of two domains, which should not be mixed: choose one with "
            f"data.root={top.below(domains[0])}."
            if not top.is_archive
            else f"{top} holds images of two domains: unpack it and give one of its folders."
        )
    roles = find_splits(folders, top, reading)
    if "train" in roles:
        splits = {name: top.below(roles[name]) for name in ("train", "test") if name in roles}
        used = {roles[name] for name in splits}
        unused = [name for name in folders if name not in used]
        return ResolvedRoot(top, splits, unused, top.loose_images() if has_files else 0)
    if roles:
        other = roles.get("test") or roles["validation"]
        raise ConfigError(
            f"{top} has {other}/ but not train/, so {split_of(other)} images would be trained on: "
            f"move the training images to train/, or {other}/ elsewhere."
        )
    return ResolvedRoot(top, {"train": top}, [])


def holds_two_domains(root: str) -> bool:
    """Return whether data.root names a folder or archive with trainA/ or trainB/ in it."""
    path = local_path(root)
    if is_address(root):
        names = {*open_root("data.root", root, []).content()[0]}
    elif path.is_dir():
        names = {entry.name for entry in path.iterdir() if entry.is_dir()}
    elif path.is_file() and path.suffix.lower() == ".zip":
        names = {part for name in list_members(path) for part in name.split("/")[:2]}
    else:
        return False
    return any((domain_of(name) or ("", ""))[0] == "train" for name in names)


def no_images_message(folder: ImageLocation) -> str:
    """Return a sentence about a folder without images."""
    suffixes = " ".join(suffix[1:] for suffix in EXTENSIONS)
    return f"{folder} holds no images ({suffixes}): add some, or check data.root."


def open_root(
    setting: str,
    value: str,
    hints: Sequence[str],
    instead: str = "extract it first",
    blocks: BlockSettings | None = None,
) -> ImageLocation:
    """Return the folder or zip archive that a setting names.

    Args:
        setting: the dotted key, for sentences.
        value: the path; "~" is expanded. Or an address, such as s3://bucket/set.zip.
        hints: extra sentences for the error about a missing path.
        instead: what to do about a file that is no zip archive.
        blocks: where parts of remote data are kept; None: in the user's cache folder.

    Raises:
        ConfigError: there is no folder or zip archive of this name, or it cannot be reached.
    """
    if is_address(value):
        blocks = blocks or BlockSettings.of(cache_home())
        is_zip = value.lower().endswith(".zip")
        return ImageLocation((open_file if is_zip else open_folder)(setting, value, blocks), "")
    path = local_path(value)
    if path.is_dir():
        return ImageLocation(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return ImageLocation(path, "")
    if path.exists():
        raise ConfigError(
            f"{setting}={value} is a file, but a folder of images or a .zip is expected: {instead}."
        )
    if address := meant_address(value):
        raise ConfigError(f"{setting}={value} does not exist: write {address} for an address.")
    where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
    raise ConfigError(f"{setting}={value} does not exist{where}: check the path.", *hints)
