"""`folder` for generation: single pictures from a folder or a zip archive, perhaps with labels."""

import hashlib
import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from gantrain.data.base import ImageDataset, Log
from gantrain.data.bit_depth import Channels, Depth, pixel_format
from gantrain.data.cache import CacheMode, cache_folder
from gantrain.data.labels import Labels, Values, from_folders, from_values, join_limited, read_json
from gantrain.data.location import (
    LABEL_FILE,
    ResolvedRoot,
    held_out_indices,
    no_pictures,
    resolve_root,
)
from gantrain.data.preflight import CacheSettings, ImageSource, ValidatedSource, preflight
from gantrain.data.transforms import Filter, FitResize, Resize, parse_size
from gantrain.errors import ConfigError

Names = dict[str, list[str]]  # the pictures of "train" and perhaps "test", below their folder


class ImageFolder(ImageDataset):
    """Pictures below `root`: a folder or a .zip, read recursively, or one holding train/ and test/.

    `labels`: from dataset.json at the top or in train/ and test/ (the StyleGAN tools' format), else
    from the names of the first sub-folders. `resize` and `filter` are explained at `Fit`.
    `depth` and `value_range` are explained at `Pixels`. `held_out` makes so many training pictures
    test pictures where there is no test/; `max_images` takes the first so many training pictures in
    the order of their names. The constructor lists the files and reads the labels (raises
    ConfigError); pictures can be asked for after `prepare`.
    """

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        resolution: int | list[int] = 256,
        channels: Channels = 3,
        depth: Depth = 8,
        value_range: list[float] | None = None,
        resize: Resize = "crop",
        filter: Filter = "lanczos",
        flip: bool = True,
        labels: bool = False,
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        on_bad_file: Literal["error", "skip"] = "error",
        max_images: int | None = None,
        held_out: int = 0,
        hint: str | None = None,
    ) -> None:
        super().__init__(seed, flip)
        self.channels = {"image": channels}
        self.resolution = parse_size("resolution", resolution)
        self._pixels = pixel_format(depth, value_range)
        self._fit = FitResize(resize, filter, self.resolution, flip)
        self._cache = CacheSettings(cache, cache_gb, cache_folder(cache_dir))
        self._skip = on_bad_file == "skip"
        self._found = resolve_root(root, hint)
        self._names: Names = {split: place.names() for split, place in self._found.splits.items()}
        if empty := [split for split, names in self._names.items() if not names]:
            raise ConfigError(*[no_pictures(self._found.splits[split]) for split in empty])
        if labels:  # of all pictures, so that what a label is does not depend on max_images
            self._labels, self._values = _read_labels(self._found, self._names)
        if held_out and "test" not in self._names:
            self._keep_aside(held_out_indices(self._size("train"), held_out))
        self._names["train"] = self._names["train"][:max_images]
        self._checked: dict[str, ValidatedSource] = {}
        self.images_per_epoch = self._size("train")

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Check every picture and fill the cache. Raises ConfigError listing all faults."""
        self._refuse_unless(multiple)
        if self._found.beside:
            log(
                f"data: warning: training pictures come from {self._found.splits['train']} only, "
                f"not from what lies beside it: {join_limited(self._found.beside)}"
            )
        sources = self.sources(log)
        self._checked = preflight(sources, self._cache, self._skip, log)
        for split, found in self._checked.items():
            self._names[split] = found.names
            if self._labels:
                self._values[split] = self._values[split][found.numbers]
        self.images_per_epoch = self._size("train")
        if spoilt := [str(self._found.splits[split]) for split in sources if not self._size(split)]:
            raise ConfigError(
                f"No usable picture is left in {' and '.join(spoilt)}: repair the files listed "
                "above."
            )
        self._fingerprint = self._hashed()
        test = f"{self._size('test')} test" if self._size("test") else "no test"
        told = f", with labels of {self.label_dim} entries" if self._labels else ""
        log(f"data: {self._size('train')} training and {test} pictures{told}")

    def sources(self, log: Log) -> dict[str, ImageSource]:
        """The files of "train" and perhaps "test"."""
        return {
            split: ImageSource(
                names,
                [self._found.splits[split].picture(name) for name in names],
                self.channels["image"],
                self._fit,
                self._pixels,
                split == "test",
            )
            for split, names in self._names.items()
        }

    def label_files(self) -> dict[str, bytes]:
        """dataset.json of the top ("") and of "train" and "test", where there."""
        places = {"": self._found.top, **self._found.splits}
        if self._found.top == self._found.splits["train"]:
            del places[""]
        return {name: content for name, place in places.items() if (content := place.label_file())}

    def test_name(self, stream: str, index: int) -> str:
        """The path of test picture `index` below its folder, without the extension."""
        return str(PurePosixPath(self._names[self._test][index]).with_suffix(""))

    def describe(self) -> dict[str, Any]:
        """Plain values for logs and snapshots; `fingerprint`: the used files' names and sizes."""
        return {
            **super().describe(),
            "kind": "folder",
            "depth": self._pixels.depth,
            "value_range": [self._pixels.low, self._pixels.high],
            "resize": {"mode": self._fit.name, "filter": self._fit.filter},
            "folders": {split: str(place) for split, place in self._found.splits.items()},
        }

    def _keep_aside(self, numbers: list[int]) -> None:
        """Make test pictures of some training pictures."""
        rest = sorted({*range(self._size("train"))} - {*numbers})
        names = self._names["train"]
        self._names = {"train": [names[n] for n in rest], "test": [names[n] for n in numbers]}
        if self._labels:
            values = self._values["train"]
            self._values = {"train": values[rest], "test": values[numbers]}
        place = self._found.splits["train"]
        self._found = replace(self._found, splits={"train": place, "test": place})

    def _size(self, split: str) -> int:
        return len(self._names.get(split, ()))

    def _picture(self, split: str, index: int) -> np.ndarray:
        return self._pixels.to_output(self._checked[split].resized(index)).transpose(2, 0, 1)

    def _hashed(self) -> str:
        facts = [
            [split, name, size]
            for split, checked in self._checked.items()
            for name, size in checked.facts()
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _read_labels(found: ResolvedRoot, names: Names) -> tuple[Labels, dict[str, Values]]:
    """What the labels are, and those of every split, from dataset.json or the folders' names."""
    top = found.top.label_file()
    raw: dict[str, list[Any]] = {}
    for split, place in found.splits.items():
        own = place.label_file()
        if own is not None:
            raw[split] = read_json(own, names[split], f"{place}/{LABEL_FILE}")
        elif top is not None:
            inside = [f"{split}/{name}" for name in names[split]]
            raw[split] = read_json(top, inside, f"{found.top}/{LABEL_FILE}")
    if not raw:
        return from_folders(names)
    if lacking := [str(place) for split, place in found.splits.items() if split not in raw]:
        raise ConfigError(
            f"data.labels=true, but {lacking[0]} has no {LABEL_FILE}, which the other pictures' "
            "labels are from: add it, or set data.labels=false."
        )
    return from_values(raw, names)
