"""`folder` for generation: single pictures from a folder or a zip archive, perhaps with labels."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from gantrain.data import labels as label_files
from gantrain.data.archive import Member, Picture, members
from gantrain.data.cache import CacheMode, cache_folder
from gantrain.data.fit import Filter, Fit, Resize
from gantrain.data.images import EXTENSIONS, ImageFault, is_image, list_images, load_image
from gantrain.data.preflight import CacheSettings, Checked, Source, preflight
from gantrain.data.single import Log, SingleImages
from gantrain.errors import ConfigError

Channels = Literal[1, 3, 4]
LABEL_FILE = "dataset.json"


@dataclass(frozen=True)
class _Place:
    """A folder, or a folder inside an archive (`prefix`, "" for its top)."""

    path: Path
    prefix: str | None = None  # None: no archive

    def below(self, name: str) -> "_Place":
        if self.prefix is None:
            return _Place(self.path / name)
        return _Place(self.path, f"{self.prefix}{name}/")

    def names(self) -> list[str]:
        """Paths of the pictures relative to here, with forward slashes, sorted."""
        if self.prefix is None:
            found = list_images(self.path)
            return [file.relative_to(self.path).as_posix() for file in found]
        inside = [n for n in members(self.path) if n.startswith(self.prefix)]
        return [n.removeprefix(self.prefix) for n in inside if is_image(n.rpartition("/")[2])]

    def picture(self, name: str) -> Picture:
        if self.prefix is None:
            return self.path / name
        return Member(self.path, f"{self.prefix}{name}")

    def label_file(self) -> bytes | None:
        if self.prefix is None:
            file = self.path / LABEL_FILE
            return file.read_bytes() if file.is_file() else None
        name = f"{self.prefix}{LABEL_FILE}"
        return Member(self.path, name).read() if name in members(self.path) else None

    def __str__(self) -> str:
        return str(self.path) if not self.prefix else f"{self.path}!/{self.prefix}".rstrip("/")


class ImageFolder(SingleImages):
    """Pictures below `root`: a folder or a .zip, read recursively, or one holding train/ and test/.

    `labels`: from dataset.json at the top (the StyleGAN tools' format), else from the names of the
    first sub-folders. `resize` and `filter` are explained at `Fit`. `max_images` takes the first so
    many training pictures. The constructor lists the files and reads the labels (raises
    ConfigError); pictures can be asked for after `prepare`.
    """

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        resolution: int | list[int] = 256,
        channels: Channels = 3,
        resize: Resize = "crop",
        filter: Filter = "lanczos",
        flip: bool = True,
        labels: bool = False,
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        on_bad_file: Literal["error", "skip"] = "error",
        max_images: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(seed, flip)
        self.channels = {"image": channels}
        sides = [resolution, resolution] if isinstance(resolution, int) else list(resolution)
        if len(sides) != 2 or min(sides) < 1:
            raise ConfigError(
                f"data.resolution={resolution} is no image size: give a positive number or "
                "[height,width]."
            )
        self.resolution = (sides[0], sides[1])
        self._fit = Fit(resize, filter, self.resolution, flip)
        self._cache = CacheSettings(cache, cache_gb, cache_folder(cache_dir))
        self._skip = on_bad_file == "skip"
        self._places = _find(root, hint)
        self._names = {split: place.names() for split, place in self._places.items()}
        self._names["train"] = self._names["train"][:max_images]
        problems = [_none(place) for split, place in self._places.items() if not self._names[split]]
        if problems:
            raise ConfigError(*problems)
        self._labels, self._given = None, {}
        if labels:
            self._labels, self._given = _read_labels(self._places, self._names)
        self._checked: dict[str, Checked] = {}
        self._fingerprint = ""  # until `prepare`
        self.images_per_epoch = self._size("train")

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Check every picture and fill the cache. Raises ConfigError listing all faults."""
        if any(side % multiple for side in self.resolution):
            raise ConfigError(
                f"data.resolution={list(self.resolution)} does not suit this model, whose images "
                f"need sides that are multiples of {multiple}."
            )
        sources = {
            split: Source(
                [self._places[split].picture(name) for name in names],
                self.channels["image"],
                split == "test",
            )
            for split, names in self._names.items()
        }
        self._checked = preflight(sources, self._fit, self._cache, self._skip, log)
        self.images_per_epoch = self._size("train")
        if not self.images_per_epoch:
            raise ConfigError("No usable picture is left: repair the files listed above.")
        for split, vectors in self._given.items():
            kept = set(map(str, self._checked[split].files))
            keep = [str(picture) in kept for picture in sources[split].files]
            self._vectors[split] = vectors[keep]
        self._fingerprint = self._hashed()
        test = f"{self._size('test')} test" if self._size("test") else "no test"
        told = f", labels of {self.label_dim} entries" if self._labels else ""
        log(f"data: {self._size('train')} training and {test} pictures{told}")

    def test_name(self, stream: str, index: int) -> str:
        """The file's name without folders and extension."""
        return str(self._files(self._test)[index]).rpartition("/")[2].rpartition(".")[0]

    def describe(self) -> dict[str, object]:
        """Plain values for logs and snapshots; `fingerprint`: the used files' names and sizes."""
        return {
            **super().describe(),
            "kind": "folder",
            "resize": {"mode": self._fit.name, "filter": self._fit.filter},
            "folders": {split: str(place) for split, place in self._places.items()},
            "fingerprint": self._fingerprint,
        }

    def _files(self, split: str) -> Sequence[Picture]:
        return self._checked[split].files if split in self._checked else []

    def _size(self, split: str) -> int:
        if self._checked:
            return len(self._files(split))
        return len(self._names.get(split, []))

    def _picture(self, split: str, index: int) -> np.ndarray:
        checked = self._checked[split]
        if checked.store is not None:
            return checked.store[index].transpose(2, 0, 1)
        image = _load(checked.files[index], self.channels["image"])
        return self._fit.resize(image).transpose(2, 0, 1)

    def _hashed(self) -> str:
        facts = []
        for split, place in self._places.items():
            start = len(str(place)) + 1
            for picture in self._files(split):
                size = 0 if isinstance(picture, Member) else picture.stat().st_size
                facts.append([split, str(picture)[start:], size])
            if place.prefix is not None:
                facts.append([split, place.path.stat().st_size])
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _find(root: str | None, hint: str | None) -> dict[str, _Place]:
    if root is None:
        more = [hint] if hint else []
        raise ConfigError(
            "data.root is not set: give data.root=FOLDER or a .zip of pictures.", *more
        )
    path = Path(root).expanduser()
    if path.is_file() and path.suffix.lower() == ".zip":
        top = _Place(path, "")
        tops = {name.split("/")[0] for name in top.names() if "/" in name}
    elif path.is_dir():
        top = _Place(path)
        tops = {entry.name for entry in path.iterdir() if entry.is_dir()}
    elif path.exists():
        raise ConfigError(
            f"data.root={root} is a file, but a folder of pictures or a .zip is expected: extract "
            "it first."
        )
    else:
        place = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        more = [hint] if hint else []
        raise ConfigError(f"data.root={root} does not exist{place}: check the path.", *more)
    if "train" not in tops:
        return {"train": top}
    test = {"test": top.below("test")} if "test" in tops else {}
    return {"train": top.below("train"), **test}


def _none(place: _Place) -> str:
    endings = " ".join(ending[1:] for ending in EXTENSIONS)
    return f"{place} holds no pictures ({endings}): add some, or check data.root."


def _read_labels(
    places: dict[str, _Place], names: dict[str, list[str]]
) -> tuple[label_files.Labels, dict[str, np.ndarray]]:
    """What the labels are, and those of every split."""
    found = {}
    for split, place in places.items():
        text = place.label_file()
        found[split] = (
            label_files.from_folders(names[split], str(place))
            if text is None
            else label_files.from_json(text, names[split], str(place))
        )
    labels = found["train"][0]
    if "test" in found and found["test"][0] != labels:
        raise ConfigError(
            f"The labels of {places['test']} ({', '.join(found['test'][0].names)}) are not those "
            f"of {places['train']} ({', '.join(labels.names)}): make them the same, or set "
            "data.labels=false."
        )
    return labels, {split: vectors for split, (_, vectors) in found.items()}


def _load(picture: Picture, channels: int) -> Image.Image:
    try:
        return load_image(picture, channels)
    except ImageFault as fault:
        raise ConfigError(f"{picture} {fault}; it was usable at the start.") from fault
