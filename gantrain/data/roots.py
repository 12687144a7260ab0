"""What data.root names: a folder, a zip, tar archives or an address; and its train/ and test/."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gantrain.data.archive import list_members
from gantrain.data.image_files import Reading
from gantrain.data.location import ImageLocation
from gantrain.data.shards import Shards, has_range, names_shards, only_shards, open_shards
from gantrain.data.splits import domain_of, find_domains, find_splits, split_of
from gantrain.data.views import PLAIN, Formats
from gantrain.errors import ConfigError
from gantrain.io.cache import cache_home
from gantrain.io.names import local_path
from gantrain.io.remote.address import is_address, meant_address
from gantrain.io.remote.blocks import BlockSettings
from gantrain.io.remote.objects import open_file, open_folder


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


def open_root(
    setting: str,
    value: str,
    hints: Sequence[str],
    instead: str = "extract it first",
    blocks: BlockSettings | None = None,
) -> ImageLocation:
    """Return the folder or the archive that a setting names.

    Args:
        setting: the dotted key, for sentences.
        value: the path; "~" is expanded. Or an address, such as s3://bucket/set.zip.
        hints: extra sentences for the error about a missing path.
        instead: what to do about a file that is no archive.
        blocks: where parts of remote data are kept; None: in the user's cache folder.

    Raises:
        ConfigError: there is no folder or archive of this name, or it cannot be reached.
    """
    if is_address(value):
        blocks = blocks or BlockSettings.of(cache_home())
        if names_shards(value):
            fetched = partial(open_file, setting, blocks=blocks)
            return ImageLocation(open_shards(setting, value, fetched), "")
        if value.lower().endswith(".zip"):
            return ImageLocation(open_file(setting, value, blocks), "")
        folder = open_folder(setting, value, blocks)
        if names := only_shards([*folder.files]):
            titles = [f"{folder}/{name}" for name in names]
            return ImageLocation(Shards(value, [folder.file(name) for name in names], titles), "")
        return ImageLocation(folder, "")
    path = local_path(value)
    if names_shards(value) and (path.exists() or has_range(value)):
        return ImageLocation(open_shards(setting, value), "")
    if path.is_dir():
        return ImageLocation(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return ImageLocation(path, "")
    if path.exists():
        raise ConfigError(
            f"{setting}={value} is a file, but a folder of images, a .zip or a .tar is expected: "
            f"{instead}."
        )
    if address := meant_address(value):
        raise ConfigError(f"{setting}={value} does not exist: write {address} for an address.")
    where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
    raise ConfigError(f"{setting}={value} does not exist{where}: check the path.", *hints)


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
    elif names_shards(root):
        top = open_root("data.root", root, [])
        names = {*top.content()[0]}
        names |= {name for folder in names for name in top.below(folder).content()[0]}
    elif path.is_dir():
        names = {entry.name for entry in path.iterdir() if entry.is_dir()}
    elif path.is_file() and path.suffix.lower() == ".zip":
        names = {part for name in list_members(path) for part in name.split("/")[:2]}
    else:
        return False
    return any((domain_of(name) or ("", ""))[0] == "train" for name in names)
