"""Where single pictures lie: a folder or a zip archive, perhaps with train/ and test/ in it."""

import os
from dataclasses import dataclass
from pathlib import Path

from gantrain.data.archive import Member, Picture, members
from gantrain.data.image_files import EXTENSIONS, is_image, list_images
from gantrain.errors import ConfigError

LABEL_FILE = "dataset.json"


@dataclass(frozen=True)
class ImageLocation:
    """A folder, or a folder inside an archive (`prefix`, "" for its top)."""

    path: Path
    prefix: str | None = None  # None: no archive

    def __str__(self) -> str:
        return str(self.path) if not self.prefix else f"{self.path}!/{self.prefix}".rstrip("/")

    def below(self, name: str) -> "ImageLocation":
        """The folder `name` in this one."""
        if self.prefix is None:
            return ImageLocation(self.path / name)
        return ImageLocation(self.path, f"{self.prefix}{name}/")

    def names(self) -> list[str]:
        """Paths of all pictures below, relative to here, with forward slashes, sorted."""
        if self.prefix is None:
            return [path.relative_to(self.path).as_posix() for path in list_images(self.path)]
        return [name for name in self._inside() if is_image(name.rpartition("/")[2])]

    def picture(self, name: str) -> Picture:
        """The one that `names` calls `name`."""
        if self.prefix is None:
            return self.path / name
        return Member(self.path, f"{self.prefix}{name}")

    def label_file(self) -> bytes | None:
        """The content of dataset.json; None: there is none. Raises ConfigError."""
        file = self.picture(LABEL_FILE)
        try:
            if isinstance(file, Path):
                return file.read_bytes() if file.exists() else None
            return file.read() if LABEL_FILE in self._inside() else None
        except OSError as error:
            raise ConfigError(f"{file} cannot be read ({error.strerror or error}).") from error

    def content(self) -> tuple[list[str], bool]:
        """The folders directly here, sorted, and whether pictures or labels are directly here."""
        if self.prefix is None:
            try:
                entries = [(e.name, e.is_dir()) for e in os.scandir(self.path)]
            except OSError as error:
                raise ConfigError(
                    f"{self.path} cannot be listed ({error.strerror}): check its permissions."
                ) from error
        else:
            parts = [name.split("/", 1) for name in self._inside()]
            entries = [(first, bool(rest)) for first, *rest in parts]
        folders = sorted({name for name, is_dir in entries if is_dir and name[0] != "."})
        files = {name for name, is_dir in entries if not is_dir}
        return folders, LABEL_FILE in files or any(map(is_image, files))

    def _inside(self) -> list[str]:
        assert self.prefix is not None
        inside = [name for name in members(self.path) if name.startswith(self.prefix)]
        return [name.removeprefix(self.prefix) for name in inside]


@dataclass(frozen=True)
class ResolvedRoot:
    """`splits`: "train" and perhaps "test"; `top` holds them or is "train" itself.

    `beside`: folders next to train/ and test/ that are not used.
    """

    top: ImageLocation
    splits: dict[str, ImageLocation]
    beside: list[str]


def held_out_indices(total: int, count: int) -> list[int]:
    """Numbers of `count` of `total` pictures, evenly spaced, that are not to be trained on.

    Raises ConfigError when fewer than 2 would be left.
    """
    if total - count < 2:
        raise ConfigError(
            f"data.held_out={count} of {total} pictures leaves {max(total - count, 0)} to train "
            f"on: give {max(total - 2, 0)} at most, or add pictures."
        )
    return [i * total // count for i in range(count)]


def resolve_root(root: str | None, hint: str | None) -> ResolvedRoot:
    """What data.root names; a single folder that wraps everything is entered.

    Raises ConfigError; `hint` follows where the pictures are missing altogether.
    """
    top = _top(root, [hint] if hint else [])
    folders, has_files = top.content()
    while len(folders) == 1 and not has_files and folders[0] not in ("train", "test"):
        top = top.below(folders[0])
        folders, has_files = top.content()
    if domains := [name for name in folders if name in ("trainA", "trainB")]:
        raise ConfigError(
            f"{top} holds pictures of two domains, which should not be mixed: choose one with "
            f"data.root={top.below(domains[0])}."
            if top.prefix is None
            else f"{top} holds pictures of two domains: unpack it and give one of its folders."
        )
    if "train" in folders:
        splits = {name: top.below(name) for name in ("train", "test") if name in folders}
        return ResolvedRoot(top, splits, [name for name in folders if name not in splits])
    if "test" in folders:
        raise ConfigError(
            f"{top} has test/ but not train/, so test pictures would be trained on: move the "
            "training pictures to train/, or test/ elsewhere."
        )
    return ResolvedRoot(top, {"train": top}, [])


def holds_two_domains(root: str) -> bool:
    """Whether data.root names a folder or archive with trainA/ or trainB/ in it."""
    path = Path(root).expanduser()
    if path.is_dir():
        return any((path / name).is_dir() for name in ("trainA", "trainB"))
    if not (path.is_file() and path.suffix.lower() == ".zip"):
        return False
    return any({"trainA", "trainB"} & set(name.split("/")[:2]) for name in members(path))


def no_pictures(place: ImageLocation) -> str:
    """The sentence for a place where there should be some."""
    endings = " ".join(ending[1:] for ending in EXTENSIONS)
    return f"{place} holds no pictures ({endings}): add some, or check data.root."


def _top(root: str | None, more: list[str]) -> ImageLocation:
    if root is None:
        raise ConfigError(
            "data.root is not set: give data.root=FOLDER or a .zip of pictures.", *more
        )
    path = Path(root).expanduser()
    if path.is_dir():
        return ImageLocation(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return ImageLocation(path, "")
    if path.exists():
        raise ConfigError(
            f"data.root={root} is a file, but a folder of pictures or a .zip is expected: extract "
            "it first."
        )
    where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
    raise ConfigError(f"data.root={root} does not exist{where}: check the path.", *more)
