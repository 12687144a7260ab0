"""data=folder for unpaired translation: two sets of image files."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from gantrain.data.archive import ImageFile
from gantrain.data.bit_depth import Channels, Depth, pixel_format
from gantrain.data.cache import CacheMode, cache_folder
from gantrain.data.image_files import Reading, unread_kinds, unread_warning
from gantrain.data.labels import join_limited
from gantrain.data.layout import Folders, Names, find_files, find_folders, pair_key, stem
from gantrain.data.preflight import CacheSettings, ImageSource, ValidatedSource, preflight
from gantrain.data.remote import RemoteArchive
from gantrain.data.sampler import AUGMENT_A, AUGMENT_B, Pairing, UnpairedSampler, counter_random
from gantrain.data.transforms import Preprocess, PreprocessName, Size, parse_size, setting_faults
from gantrain.errors import ConfigError

_STREAMS = {"a": AUGMENT_A, "b": AUGMENT_B}


class UnpairedFolder:
    """Two domains of images in folders or zip archives, which are read recursively.

    The constructor finds the folders and lists the files; images are available after `prepare`.

    Args:
        seed: of order, crops and mirroring.
        root: holds trainA/, trainB/ and perhaps testA/, testB/.
        root_a, root_b: instead of `root`, one per domain: images, or train/ and perhaps test/.
        url, url_sha256, url_bytes: without a root: a zip archive (one or several urls to try) that
            `prepare` downloads and unpacks into the cache folder.
        resolution: a number or [height, width] in pixels.
        load_size, preprocess: see `Preprocess`.
        preprocess_a, preprocess_b, load_size_a, load_size_b: override these for one domain.
        flip: whether training images are mirrored at random.
        channels_a, channels_b: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
        depth, value_range: see `PixelFormat`; value_range is [low, high].
        pairing: see `UnpairedSampler`.
        cache, cache_gb: see `gantrain.data.cache.choose_mode`.
        cache_dir: of caches and downloads; None: see `gantrain.data.cache.cache_folder`.
        on_bad_file: "skip" leaves out files that cannot be used.
        test_pairs: whether test images of the same name are pairs (1_A and 1_B count as one name).
        max_images: train on the first files of each domain only; None: on all.
        held_out: number of training images used as test images if a domain has no test folder.
        hint: an extra sentence for errors about a missing root.
        reading: version of the rules by which files are found, see
            `gantrain.data.image_files.Reading`.

    Raises:
        ConfigError: the folders do not exist or have another structure.
    """

    kind: ClassVar[Literal["unpaired", "paired", "images"]] = "unpaired"
    label_dim = 0

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        root_a: str | None = None,
        root_b: str | None = None,
        url: str | list[str] | None = None,
        url_sha256: str | None = None,
        url_bytes: int | None = None,
        resolution: int | list[int] = 256,
        load_size: int | list[int] | None = None,
        preprocess: PreprocessName = "resize_and_crop",
        preprocess_a: PreprocessName | None = None,
        preprocess_b: PreprocessName | None = None,
        load_size_a: int | list[int] | None = None,
        load_size_b: int | list[int] | None = None,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        depth: Depth = 8,
        value_range: list[float] | None = None,
        pairing: Pairing = "shuffle",
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        on_bad_file: Literal["error", "skip"] = "error",
        test_pairs: bool = False,
        max_images: int | None = None,
        held_out: int = 0,
        hint: str | None = None,
        reading: Reading = 2,
    ) -> None:
        self.seed, self.has_pairs = seed, test_pairs
        self.pairing: Pairing = pairing
        self.channels: dict[str, int] = {"a": channels_a, "b": channels_b}
        self.resolution = parse_size("resolution", resolution)
        a = preprocess_a or preprocess, load_size_a or load_size
        b = preprocess_b or preprocess, load_size_b or load_size
        self._preprocess = {
            domain: Preprocess(name, self.resolution, _parse_load_size(size), flip)
            for domain, (name, size) in {"a": a, "b": b}.items()
        }
        self._pixels = pixel_format(depth, value_range)
        self._cache = CacheSettings(cache, cache_gb, cache_folder(cache_dir))
        self._skip = on_bad_file == "skip"
        self._folders: Folders = {}
        self._names, self._unread = Names(), Names()  # images, and files that are none, by folder
        self._unused: list[str] = []  # folders and images beside the ones that are used
        self._max_images, self._held_out = max_images, held_out
        self._reading: Reading = reading
        self._remote: RemoteArchive | None = None
        if url and root is None and root_a is None and root_b is None:
            self._remote = RemoteArchive(_urls(url), url_sha256, url_bytes, self._cache.folder)
            unpacked = self._remote.find()
            root = str(unpacked) if unpacked else None
        self._checked: dict[str, ValidatedSource] = {}
        self._fingerprint = ""  # until `prepare`
        if self._remote is None or root is not None:
            self._list_files(root, root_a, root_b, hint)

    @property
    def crops(self) -> bool:
        """Whether all training images are cropped to `resolution`."""
        return all(settings.crops for settings in self._preprocess.values())

    def image_sizes(self) -> list[tuple[ImageFile, Size]]:
        """Return the usable images that are not cropped, and (height, width) after the resize."""
        return [
            pair
            for split, checked in self._checked.items()
            if not self._preprocess[split[-1]].crops
            for pair in zip(checked.files, checked.sizes, strict=True)
        ]

    @property
    def images_per_epoch(self) -> int:
        """The number of training images of the larger domain."""
        return max(self._count("train_a"), self._count("train_b"))

    def prepare(self, *, batch: int, multiple: int, log: Callable[[str], None]) -> None:
        """Check every image and fill the cache, see `gantrain.data.base.Dataset`."""
        self._preprocess = {
            domain: replace(settings, multiple=multiple)
            for domain, settings in self._preprocess.items()
        }
        faults = dict.fromkeys(
            fault for settings in self._preprocess.values() for fault in setting_faults(settings)
        )
        if faults:
            raise ConfigError(*faults)
        for settings in dict.fromkeys(self._preprocess.values()):
            if settings.load_size is not None and settings.name in ("crop", "none"):
                log(f"data: warning: data.load_size is not used by data.preprocess={settings.name}")
        sources = self.sources(log)
        for note in self.notes():
            log(f"data: {note}")
        checked = preflight(sources, self._cache, self._skip, log)
        faults = [*_count_faults(checked), *_size_faults(checked, self._preprocess, batch)]
        if faults:
            raise ConfigError(*faults)
        self._use(checked)
        self._sampler = self._make_sampler()
        self._fingerprint = self._digest()
        log(self._summary())

    def notes(self) -> list[str]:
        """Return sentences about what was taken for what, and what is left out."""
        places = [f"{split} from {folder}" for split, folder in self._folders.items()]
        notes = [f"images of {', '.join(places)}"]
        if self._unused:
            notes.append(f"warning: not used: {join_limited(self._unused)}")
        for split, names in self._unread.items():
            if kinds := unread_kinds(names):
                notes.append(unread_warning(self._folders[split], kinds))
        return notes

    def sources(self, log: Callable[[str], None]) -> dict[str, ImageSource]:
        """Return the files of "train_a", "train_b" and, if any, "test_a", "test_b".

        A published set is downloaded first.

        Raises:
            ConfigError: the download fails, or the archive has another structure.
        """
        if self._remote and not self._names:
            self._list_files(str(self._remote.get(log)))
        return {
            split: ImageSource(
                names,
                [self._folders[split].image(name) for name in names],
                self.channels[split[-1]],
                self._preprocess[split[-1]],
                self._pixels,
                split.startswith("test"),
            )
            for split, names in self._names.items()
        }

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return the augmented images of "a" and "b" at a position, as the protocol says."""
        indices = self._sampler(position)
        return {
            domain: self._pixels.to_output(
                self._preprocess[domain].augment(
                    self._checked[f"train_{domain}"].resized(index),
                    counter_random(self.seed, _STREAMS[domain], position, 3),
                )
            )
            for domain, index in zip("ab", indices, strict=True)
        }

    def train_count(self, stream: str) -> int:
        """Return the number of training images of "a" or "b"."""
        return self._count(f"train_{stream}")

    def train_item(self, stream: str, index: int) -> np.ndarray:
        """Return training image `index` of "a" or "b", center-cropped and not mirrored.

        Args:
            stream: "a" or "b".
            index: from 0.
        """
        return self._center_crop(f"train_{stream}", index)

    def held_count(self, stream: str) -> int:
        """Return the number of test images that are not trained on, which may be 0."""
        return self._count(f"test_{stream}")

    def test_count(self, stream: str) -> int:
        """Return the number of test images of "a" or "b"; without any, of training images."""
        return self._count(self._test_split(stream))

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Return test image `index` of "a" or "b", center-cropped.

        Args:
            stream: "a" or "b".
            index: from 0.
        """
        return self._center_crop(self._test_split(stream), index)

    def test_name(self, stream: str, index: int) -> str:
        """Return the path of test image `index` below its folder, without the suffix."""
        return stem(self._names[self._test_split(stream)][index])

    def describe(self) -> dict[str, Any]:
        """Return a description in plain values; "fingerprint": of the files' names and sizes."""
        settings = self._preprocess
        return {
            "kind": "folder",
            "resolution": list(self.resolution),
            "channels": dict(self.channels),
            "depth": self._pixels.depth,
            "value_range": [self._pixels.low, self._pixels.high],
            "preprocess": {domain: one.name for domain, one in settings.items()},
            "load_size": {
                domain: None if one.name in ("crop", "none") else list(one.load)
                for domain, one in settings.items()
            },
            "flip": settings["a"].flip,
            "pairing": self.pairing,
            "train": {domain: self._count(f"train_{domain}") for domain in "ab"},
            "test": {domain: self.test_count(domain) for domain in "ab"},
            "test_pairs": self.has_pairs,
            "test_is_train": {
                domain: self._test_split(domain) == f"train_{domain}" for domain in "ab"
            },
            "folders": {name: str(path) for name, path in self._folders.items()},
            "reading": self._reading,
            "fingerprint": self._fingerprint,
        }

    def _list_files(
        self,
        root: str | None,
        root_a: str | None = None,
        root_b: str | None = None,
        hint: str | None = None,
    ) -> None:
        folders, self._unused = find_folders(root, root_a, root_b, hint, self._reading)
        self._names, self._unread = find_files(
            folders, self.has_pairs, self._max_images, self._held_out
        )
        self._folders = {  # held-out images are in the training folder
            split: folders.get(split) or folders[f"train_{split[-1]}"] for split in self._names
        }
        self._sampler = self._make_sampler()

    def _count(self, split: str) -> int:
        return len(self._names.get(split, ()))

    def _use(self, checked: dict[str, ValidatedSource]) -> None:
        """Use the usable images; of test pairs, those whose partner is usable as well."""
        names = {split: usable.names for split, usable in checked.items()}
        if self.has_pairs:
            tests = ("test_a", "test_b")
            keys = {split: [pair_key(split, name) for name in names[split]] for split in tests}
            complete = set(keys["test_a"]) & set(keys["test_b"])
            for split in tests:
                indices = [i for i, key in enumerate(keys[split]) if key in complete]
                names[split] = [names[split][i] for i in indices]
                checked = {**checked, split: checked[split].only(indices)}
        self._names, self._checked = names, checked

    def _test_split(self, domain: str) -> str:
        return f"test_{domain}" if f"test_{domain}" in self._names else f"train_{domain}"

    def _make_sampler(self) -> UnpairedSampler:
        counts = self._count("train_a"), self._count("train_b")
        return UnpairedSampler(self.seed, *counts, self.pairing)

    def _center_crop(self, split: str, index: int) -> np.ndarray:
        image = self._checked[split].resized_for_test(index)
        return self._pixels.to_output(self._preprocess[split[-1]].center_crop(image))

    def _digest(self) -> str:
        files = [
            [split, stem(name), size]
            for split, checked in self._checked.items()
            for name, size in checked.names_and_sizes()
        ]
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]

    def _summary(self) -> str:
        parts = []
        for domain in "ab":
            split = self._test_split(domain)
            test = f"{self._count(split)} test" if split.startswith("test") else "no test folder"
            parts.append(f"{self._count(f'train_{domain}')} training and {test} images in {domain}")
        return "data: " + ", ".join(parts)


def _urls(url: str | list[str]) -> tuple[str, ...]:
    return (url,) if isinstance(url, str) else tuple(url)


def _parse_load_size(value: int | list[int] | None) -> Size | None:
    return None if value is None else parse_size("load_size", value)


def _count_faults(checked: dict[str, ValidatedSource]) -> list[str]:
    """Return a sentence for each split with too few images after skipping bad files."""
    return [
        f"Only {len(usable)} usable image(s) left in {name}: repair the files listed above."
        for name, usable in checked.items()
        if len(usable) < (2 if name.startswith("train") else 1)
    ]


def _size_faults(
    checked: dict[str, ValidatedSource], preprocess: dict[str, Preprocess], batch: int
) -> list[str]:
    """Return a sentence for each domain whose training images cannot be stacked to a batch."""
    faults = []
    for domain, settings in preprocess.items():
        name = f"train_{domain}"
        sizes = Counter(checked[name].sizes)
        if batch > 1 and not settings.crops and len(sizes) > 1:
            rarest = min(sizes, key=lambda size: sizes[size])
            example = checked[name].files[checked[name].sizes.index(rarest)]
            faults.append(
                f"data.preprocess={settings.name} leaves {len(sizes)} different sizes in {name} "
                f"(such as {rarest[1]} x {rarest[0]} of {example}), which train.batch={batch} "
                "cannot stack: use train.batch=1 or data.preprocess=resize_and_crop."
            )
    return faults
