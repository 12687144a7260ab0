"""Locations of images: folders and archives, perhaps with train/ and test/ in them."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from gantrain.data.archive import (
    Archive,
    ImageFile,
    Member,
    list_members,
    members_of,
)
from gantrain.data.arrow_rows import ArrowRows
from gantrain.data.decode import count_images
from gantrain.data.hf_folder import is_saved
from gantrain.data.image_files import EXTENSIONS, Reading, is_image, list_files
from gantrain.data.shards import Shards
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
from gantrain.io.remote.objects import RemoteFolder

LABEL_FILE = "dataset.json"


@dataclass(frozen=True)
class ImageLocation:
    """A folder, or a folder inside an archive or a remote folder.

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
        return str(Member(self.path, self.prefix.rstrip("/")) if self.prefix else self.path)

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
        if isinstance(self.path, Path) or not members_of(self.path).is_remote:
            return None
        content = self.path.identity()
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def overlaps(self, other: "ImageLocation") -> bool:
        """Return whether one of two places is inside the other, or the same."""
        a, b = self.prefix or "", other.prefix or ""
        if isinstance(self.path, Shards) and isinstance(other.path, Shards):
            own = [part.identity() for part in self.path.parts]
            shared = any(part.identity() in own for part in other.path.parts)
            return shared and (a.startswith(b) or b.startswith(a))
        a, b = self._parts(), other._parts()
        return a == b[: len(a)] or b == a[: len(b)]

    def _parts(self) -> tuple[str, ...]:
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

    def images(self, names: Sequence[str]) -> Sequence[AnyFile]:
        """Return the images of paths from `names`."""
        if not self.stacked:
            return _Images(self, names)
        rows = match_names([self, *self.stacked], [self.names(), *self._names_beside()])
        wanted = {row[0]: row for row in rows}
        places = (self, *self.stacked)
        return [
            Stack(tuple(place.image(one) for place, one in zip(places, wanted[n], strict=True)))
            for n in names
        ]

    def _names_beside(self) -> list[list[str]]:
        return [place.names() for place in self.stacked]

    def image(self, name: str) -> ImageFile | View:
        """Return the image of a path from `names`, without what is stacked on it."""
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
            return file.read() if members_of(self.path).holds(file.name) else None
        except OSError as error:
            raise ConfigError(f"{file} cannot be read ({error.strerror or error}).") from error

    def sample_labels(self, names: Sequence[str], complete: bool) -> list[Any]:
        """Return the labels that tar archives and rows have beside the images.

        Those of tar archives are .cls and .json files.

        Args:
            names: of the images, from `names`.
            complete: whether all images must have one, if one has.

        Returns:
            One value per image, None without a label; []: no image has one.

        Raises:
            ConfigError: some images have none, or it cannot be read.
        """
        if self.prefix is None:
            return []
        files = [parse_part(x)[0] for x in names] if self.formats.splits_files else names
        return members_of(self.path).sample_labels(files, self.prefix, complete)

    def archive_notes(self) -> list[str]:
        """Return sentences about what was left out of an archive."""
        return [] if self.prefix is None else list(members_of(self.path).notes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that `sample_labels` are numbers of; (): the labels themselves tell."""
        return self.path.class_names if isinstance(self.path, ArrowRows) else ()

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
        folders, has_images = set(), False
        try:
            for name, is_folder in self._entries():
                if is_folder:
                    folders.add(name)
                else:
                    has_images |= name == LABEL_FILE or is_image(name, self.reading)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be listed ({error.strerror}): check its permissions."
            ) from error
        return sorted(name for name in folders if name[0] != "."), has_images

    def _entries(self) -> Iterator[tuple[str, bool]]:
        """Yield the names in this folder, and whether they are folders; those several times."""
        if self.prefix is None:
            yield from ((entry.name, entry.is_dir()) for entry in os.scandir(self._folder))
            return
        for name in self._members():
            first, slash, _ = name.partition("/")
            yield first, bool(slash)

    def _members(self) -> list[str]:
        assert self.prefix is not None
        return list_members(self.path, self.prefix)


class _Images(Sequence[AnyFile]):
    """The images of a place, made when they are asked for: a million take much memory."""

    def __init__(self, place: ImageLocation, names: Sequence[str]) -> None:
        self._place, self._names = place, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> AnyFile: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[AnyFile]: ...

    def __getitem__(self, index: int | slice) -> AnyFile | Sequence[AnyFile]:
        if isinstance(index, slice):
            return _Images(self._place, self._names[index])
        return self._place.image(self._names[index])


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


def no_images_message(folder: ImageLocation) -> str:
    """Return a sentence about a folder without images."""
    if isinstance(folder.path, Path) and is_saved(folder.path):
        return f"{folder} was saved by Hugging Face's package datasets: write data=hf."
    suffixes = " ".join(suffix[1:] for suffix in EXTENSIONS)
    return f"{folder} holds no images ({suffixes}): add some, or check data.root."
