"""data=folder for generation: single images from a folder or a zip archive, perhaps labelled."""

import hashlib
import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np

from gantrain.data.base import ImageDataset, Log
from gantrain.data.bit_depth import Channels, Depth, pixel_format
from gantrain.data.cache import CacheMode, cache_folder
from gantrain.data.image_files import Reading, unread_kinds, unread_warning
from gantrain.data.labels import (
    Labels,
    Values,
    from_folders,
    from_values,
    join_limited,
    labels_of,
    limited_indices,
    parse_json,
)
from gantrain.data.location import (
    LABEL_FILE,
    describe_versions,
    held_out_indices,
    no_images_message,
)
from gantrain.data.pixel_settings import check_show, check_window, describe_pixels, make_formats
from gantrain.data.preflight import CacheSettings, ImageSource, ValidatedSource, preflight
from gantrain.data.roots import ResolvedRoot, resolve_root
from gantrain.data.transforms import Filter, FitResize, Resize, parse_size
from gantrain.data.views import Layout, Pages, Window
from gantrain.errors import ConfigError, counted
from gantrain.io.remote.blocks import DEFAULT_GB
from gantrain.types import Positive, Range

Names = dict[str, list[str]]  # paths of images below their folder, by split
LabelFiles = dict[str, tuple[dict[str, Any] | None, str, str]]  # see `_label_files`


class ImageFolder(ImageDataset):
    """Images in a folder or a zip archive, which is read recursively.

    The constructor lists the files and reads the labels; images are available after `prepare`.

    Args:
        seed: of order and mirroring.
        root: holds the images, or train/ and perhaps test/.
        resolution: a number or [height, width] in pixels.
        channels: 1 grey, 3 RGB, one more with alpha, or any number of bands.
        depth, value_range, clip: see `PixelFormat`; value_range is [low, high].
        pages, array_layout, array_name, slices, window: how files are read that may mean several
            things, see `Formats`; window is [center, width] or "file".
        show: bands, from 1, that grids show of images with more than 3 channels; None: the first.
        resize, filter: see `FitResize`.
        flip: whether training images are mirrored at random.
        labels: whether images have labels: from dataset.json at the top or in train/ and test/ (the
            format of the StyleGAN tools), or from the names of the first sub-folders.
        cache, cache_gb: see `gantrain.data.cache.choose_mode`.
        cache_dir: of caches; None: see `gantrain.data.cache.cache_folder`.
        remote_cache_gb: 1e9 bytes of the parts of remote files that are kept in `cache_dir`.
        on_bad_file: "skip" leaves out files that cannot be used.
        max_images: train on so many only, the first ones by name; with labels, of every class;
            None: on all.
        held_out: number of training images used as test images if there is no test/.
        hint: an extra sentence for errors about a missing root.
        reading: version of the rules by which files are found and ordered, see
            `gantrain.data.image_files.Reading`.

    Raises:
        ConfigError: there are no images at `root`, or their labels cannot be read.
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
        clip: bool = False,
        pages: Pages | None = None,
        array_layout: Layout | None = None,
        array_name: str | None = None,
        slices: Annotated[int, Range(0, 2)] | None = None,
        window: Window | None = None,
        show: list[int] | None = None,
        resize: Resize = "crop",
        filter: Filter = "lanczos",
        flip: bool = True,
        labels: bool = False,
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        remote_cache_gb: Positive = DEFAULT_GB,
        on_bad_file: Literal["error", "skip"] = "error",
        max_images: int | None = None,
        held_out: int = 0,
        hint: str | None = None,
        reading: Reading = 3,
    ) -> None:
        super().__init__(seed, flip, reading)
        self.channels = {"image": channels}
        self.resolution = parse_size("resolution", resolution)
        self._pixels = pixel_format(depth, value_range, clip)
        self._formats = make_formats(pages, array_layout, array_name, slices, window)
        check_window(self._formats, [(self._pixels.low, self._pixels.high)])
        self.show = check_show(show, [channels])
        self._fit = FitResize(resize, filter, self.resolution, flip)
        self._cache = CacheSettings(cache, cache_gb, cache_folder(cache_dir), remote_cache_gb)
        self._skip = on_bad_file == "skip"
        self._root = resolve_root(root, hint, reading, self._formats, self._cache.blocks)
        listed = {split: place.names_and_others() for split, place in self._root.splits.items()}
        self._names: Names = {split: images for split, (images, _) in listed.items()}
        self._unread: Names = {split: others for split, (_, others) in listed.items()}
        if empty := [split for split, names in self._names.items() if not names]:
            raise ConfigError(*[no_images_message(self._root.splits[split]) for split in empty])
        self._strays: list[str] = []  # names in dataset.json that no image has
        if labels:  # of all images: the meaning of a label must not depend on max_images
            files = _label_files(self._root)
            self._labels, self._values = _read_labels(files, self._root, self._names, reading)
            self._strays = _stray_labels(files, self._names)
        if held_out and "test" not in self._names:
            self._hold_out(held_out_indices(self._size("train"), held_out))
        if max_images:
            self._limit(max_images)
        self._checked: dict[str, ValidatedSource] = {}
        self.images_per_epoch = self._size("train")

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Check every image and fill the cache, see `gantrain.data.base.Dataset`."""
        self._check_multiple(multiple)
        for note in self._file_notes():
            log(f"data: {note}")
        sources = self.sources(log)
        self._checked = preflight(sources, self._cache, self._skip, log)
        for split, usable in self._checked.items():
            self._names[split] = usable.names
            if self._labels:
                self._values[split] = self._values[split][usable.numbers]
        self.images_per_epoch = self._size("train")
        if empty := [str(self._root.splits[split]) for split in sources if not self._size(split)]:
            raise ConfigError(
                f"No usable image is left in {' and '.join(empty)}: repair the files listed above."
            )
        self._fingerprint = self._digest()
        test = f"{self._size('test')} test" if self._size("test") else "no test"
        labels = f", with labels of {self.label_dim} entries" if self._labels else ""
        log(f"data: {self._size('train')} training and {test} images{labels}")
        for note in self._label_notes():
            log(f"data: {note}")

    def notes(self) -> list[str]:
        """Return sentences about what was taken for what, and what is left out."""
        return [*self._file_notes(), *self._label_notes()]

    def class_counts(self) -> dict[str, int]:
        """Return the number of training images of each class, in order; {}: there are none."""
        return self._labels.counts(self._values["train"]) if self._labels else {}

    def sources(self, log: Log) -> dict[str, ImageSource]:
        """Return the files of "train" and perhaps "test"."""
        return {
            split: ImageSource(
                names,
                self._root.splits[split].images(names),
                self.channels["image"],
                self._fit,
                self._pixels,
                split == "test",
            )
            for split, names in self._names.items()
        }

    def json_labels(self) -> dict[str, dict[str, Any]]:
        """Return the labels that files give, unlike folders, by split and path of the image.

        Raises:
            ConfigError: such a file cannot be read.
        """
        found = {}
        for split, (labels, prefix, _) in _label_files(self._root).items():
            pairs = (labels or {}).items()
            found[split] = {name.removeprefix(prefix): label for name, label in pairs}
        for split, folder in self._root.splits.items():
            if split not in found:
                names = self._names[split]
                pairs = zip(names, folder.sample_labels(names, complete=False), strict=False)
                found[split] = {name: label for name, label in pairs if label is not None}
        return found

    def test_name(self, stream: str, index: int) -> str:
        """Return the path of test image `index` below its folder, without the suffix."""
        return str(PurePosixPath(self._names[self._test][index]).with_suffix(""))

    def describe(self) -> dict[str, Any]:
        """Return a description in plain values; "fingerprint": of the files' names and sizes."""
        return {
            **super().describe(),
            "kind": "folder",
            "depth": self._pixels.depth,
            "pixels": {"image": describe_pixels(self._pixels, self._has_alpha, 1)},
            "formats": self._formats.describe(),
            "show": self.show,
            "resize": {"mode": self._fit.name, "filter": self._fit.filter},
            "folders": {split: str(folder) for split, folder in self._root.splits.items()},
            **describe_versions(self._root.splits),
        }

    @property
    def _has_alpha(self) -> bool:
        return "train" in self._checked and self._checked["train"].source.alpha

    def _file_notes(self) -> list[str]:
        splits = self._root.splits.items()
        notes = [f"images of {', '.join(f'{split} from {place}' for split, place in splits)}"]
        if self._root.unused:
            notes.append(
                f"warning: training images come from {self._root.splits['train']} only, not from "
                f"the folders beside it: {join_limited(self._root.unused)}"
            )
        if self._root.loose:
            notes.append(
                f"warning: not used: {counted(self._root.loose, 'image')} directly in "
                f"{self._root.top}"
            )
        for split, names in self._unread.items():
            if kinds := unread_kinds(names):
                notes.append(unread_warning(self._root.splits[split], kinds))
        notes += dict.fromkeys(x for _, place in splits for x in place.archive_notes())
        if self._strays:
            notes.append(
                f"warning: {counted(len(self._strays), 'label')} of {LABEL_FILE} without an image "
                f"that was found: {join_limited(self._strays)}"
            )
        return notes

    def _limit(self, count: int) -> None:
        """Keep some training images."""
        names = self._names["train"]
        if not self._labels:
            self._names["train"] = names[:count]
            return
        values = self._values["train"]
        first = [*range(min(count, len(names)))]
        indices = first if self._reading == 1 else limited_indices(self._labels, values, count)
        self._names["train"] = [names[i] for i in indices]
        self._values["train"] = values[indices]

    def _hold_out(self, indices: list[int]) -> None:
        """Turn some training images into test images."""
        train = sorted({*range(self._size("train"))} - {*indices})
        names = self._names["train"]
        self._names = {"train": [names[i] for i in train], "test": [names[i] for i in indices]}
        if self._labels:
            values = self._values["train"]
            self._values = {"train": values[train], "test": values[indices]}
        folder = self._root.splits["train"]
        self._root = replace(self._root, splits={"train": folder, "test": folder})

    def _size(self, split: str) -> int:
        return len(self._names.get(split, ()))

    def _image(self, split: str, index: int) -> np.ndarray:
        return self._pixels.to_output(self._checked[split].resized(index)).transpose(2, 0, 1)

    def _digest(self) -> str:
        files = [
            [split, name, size]
            for split, checked in self._checked.items()
            for name, size in checked.names_and_sizes()
        ]
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]


def _label_files(root: ResolvedRoot) -> LabelFiles:
    """Return (labels, prefix of the split's names in them, name) of dataset.json, by split."""
    top = root.top.label_file()
    parsed: dict[str, dict[str, Any] | None] = {}  # large files take seconds: each once
    files: LabelFiles = {}
    for split, folder in root.splits.items():
        text, prefix, file = folder.label_file(), "", f"{folder}/{LABEL_FILE}"
        if text is None:
            text, prefix, file = top, f"{folder.folder_name}/", f"{root.top}/{LABEL_FILE}"
        if text is None:
            continue
        if file not in parsed:
            parsed[file] = parse_json(text, file)
        files[split] = parsed[file], prefix, file
    return files


def _stray_labels(files: LabelFiles, names: Names) -> list[str]:
    """Return the names in dataset.json that no image has."""
    known: dict[str, set[str]] = {}
    for split, (_, prefix, file) in files.items():
        known.setdefault(file, set()).update(f"{prefix}{name}" for name in names[split])
    labelled = {file: labels or {} for labels, _, file in files.values()}
    return [name for file, labels in labelled.items() for name in labels if name not in known[file]]


def _read_labels(
    files: LabelFiles, root: ResolvedRoot, names: Names, reading: Reading
) -> tuple[Labels, dict[str, Values]]:
    """Return the kind of the labels and their values by split.

    They come from dataset.json, from the files beside the images in tar archives, or from folders.
    """
    raw: dict[str, list[Any]] = {
        split: labels_of([f"{prefix}{name}" for name in names[split]], labels, file)
        for split, (labels, prefix, file) in files.items()
    }
    for split, folder in root.splits.items():
        if split not in raw and (found := folder.sample_labels(names[split], complete=True)):
            raw[split] = found
    if not raw:
        return from_folders(names, reading)
    if missing := [str(folder) for split, folder in root.splits.items() if split not in raw]:
        raise ConfigError(
            f"data.labels=true, but {missing[0]} has no {LABEL_FILE}, from which the other images' "
            "labels come: add it, or set data.labels=false."
        )
    return from_values(raw, names)
