"""`folder`: two unpaired sets of picture files."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from gantrain.data.bit_depth import Channels, Depth, pixel_format
from gantrain.data.cache import CacheMode, cache_folder
from gantrain.data.layout import Folders, Names, find_files, find_folders, partner, stem
from gantrain.data.preflight import CacheSettings, ImageSource, ValidatedSource, preflight
from gantrain.data.remote import RemoteArchive
from gantrain.data.sampler import AUGMENT_A, AUGMENT_B, Pairing, UnpairedSampler, counter_random
from gantrain.data.transforms import Preprocess, PreprocessName, Size, parse_size, setting_faults
from gantrain.errors import ConfigError

_STREAMS = {"a": AUGMENT_A, "b": AUGMENT_B}


class UnpairedFolder:
    """Pictures from `root`/trainA, trainB, testA, testB, or from `root_a` and `root_b`.

    `root_a` and `root_b` are each a folder of pictures, or hold `train` and perhaps `test`. Folders
    are read recursively; each may be a .zip. `load_size` and `preprocess` are explained at
    `Preprocess`; with `_a` or `_b` after them they are of that domain alone. Sizes are one number
    or [height, width]. `depth` and `value_range` are explained at `Pixels`. `held_out` makes so
    many training pictures test pictures where there is no test folder; `max_images` takes the first
    so many of each sorted training folder. With no root but a `url` (one or several to try)
    the set is an archive that `prepare` downloads and unpacks into `cache_dir` if it is not there.
    The constructor finds the folders and lists the files (raises ConfigError); images can be asked
    for after `prepare`.
    """

    kind: ClassVar[Literal["unpaired", "images"]] = "unpaired"
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
    ) -> None:
        self.seed, self.has_pairs = seed, test_pairs
        self.pairing: Pairing = pairing
        self.channels: dict[str, int] = {"a": channels_a, "b": channels_b}
        self.resolution = parse_size("resolution", resolution)
        first: dict[str, PreprocessName | None] = {"a": preprocess_a, "b": preprocess_b}
        load = {"a": load_size_a or load_size, "b": load_size_b or load_size}
        self._preprocess = {
            domain: Preprocess(name or preprocess, self.resolution, _load(load[domain]), flip)
            for domain, name in first.items()
        }
        self._pixels = pixel_format(depth, value_range)
        self._cache = CacheSettings(cache, cache_gb, cache_folder(cache_dir))
        self._skip = on_bad_file == "skip"
        self._folders: Folders = {}
        self._names: Names = {}
        self._max_images, self._held_out = max_images, held_out
        self._online: RemoteArchive | None = None
        if url and root is None and root_a is None and root_b is None:
            urls = (url,) if isinstance(url, str) else tuple(url)
            self._online = RemoteArchive(urls, url_sha256, url_bytes, cache_folder(cache_dir))
            found = self._online.find()
            root = str(found) if found else None
        self._checked: dict[str, ValidatedSource] = {}
        self._fingerprint = ""  # until `prepare`
        if self._online is None or root is not None:
            self._find(find_folders(root, root_a, root_b, hint))

    @property
    def images_per_epoch(self) -> int:
        """The number of training pictures of the larger domain."""
        return max(self._count("train_a"), self._count("train_b"))

    def prepare(self, *, batch: int, multiple: int, log: Callable[[str], None]) -> None:
        """Check every picture and fill the cache. Raises ConfigError listing all faults.

        `multiple`: what image sides must be multiples of; `batch`: images that must stack.
        """
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
        checked = preflight(self.sources(log), self._cache, self._skip, log)
        faults = [*_few(checked), *_unequal(checked, self._preprocess, batch)]
        if faults:
            raise ConfigError(*faults)
        self._keep(checked)
        self._order = self._new_order()
        self._fingerprint = self._hashed()
        log(self._summary())

    def sources(self, log: Callable[[str], None]) -> dict[str, ImageSource]:
        """The files of "train_a", "train_b" and, where there, "test_a", "test_b"; a set that is not
        there yet is downloaded. Raises ConfigError."""
        if self._online and not self._names:
            self._find(find_folders(str(self._online.get(log)), None, None, None))
        return {
            split: ImageSource(
                names,
                [self._folders[split].picture(name) for name in names],
                self.channels[split[-1]],
                self._preprocess[split[-1]],
                self._pixels,
                split.startswith("test"),
            )
            for split, names in self._names.items()
        }

    def item(self, position: int) -> dict[str, np.ndarray]:
        """[C, H, W] of "a" and "b" at `position`: a pure function of (seed, position).

        uint8 or uint16; float32 in [-1, 1] of floats.
        """
        indices = self._order(position)
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
        """The number of training images of `stream`, "a" or "b"."""
        return self._count(f"train_{stream}")

    def train_item(self, stream: str, index: int) -> np.ndarray:
        """Training image `index` of "a" or "b" as `test_item` has one: not augmented."""
        return self._middle(f"train_{stream}", index)

    def held_count(self, stream: str) -> int:
        """The number of test images that are not trained on, perhaps 0."""
        return self._count(f"test_{stream}")

    def test_count(self, stream: str) -> int:
        """The number of test images of `stream`, "a" or "b"; training images where it has none."""
        return self._count(self._test(stream))

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """[C, H, W] as `item` has it: test image `index` of "a" or "b", cut from the middle."""
        return self._middle(self._test(stream), index)

    def test_name(self, stream: str, index: int) -> str:
        """The path of test image `index` below its folder, without the extension."""
        return stem(self._names[self._test(stream)][index])

    def describe(self) -> dict[str, Any]:
        """Plain values for logs and snapshots; `fingerprint`: the used files' names and sizes."""
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
            "test_is_train": {domain: self._test(domain) == f"train_{domain}" for domain in "ab"},
            "folders": {name: str(path) for name, path in self._folders.items()},
            "fingerprint": self._fingerprint,
        }

    def _find(self, folders: Folders) -> None:
        self._names = find_files(folders, self.has_pairs, self._max_images, self._held_out)
        self._folders = {  # pictures that were kept aside lie where the others do
            split: folders.get(split) or folders[f"train_{split[-1]}"] for split in self._names
        }
        self._order = self._new_order()

    def _count(self, split: str) -> int:
        return len(self._names.get(split, ()))

    def _keep(self, checked: dict[str, ValidatedSource]) -> None:
        """Go on with the usable pictures; of pairs with those whose partner is usable, too."""
        names = {split: usable.names for split, usable in checked.items()}
        if self.has_pairs:
            tests = ("test_a", "test_b")
            stems = {split: [partner(split, name) for name in names[split]] for split in tests}
            both = set(stems["test_a"]) & set(stems["test_b"])
            for split in tests:
                kept = [number for number, one in enumerate(stems[split]) if one in both]
                names[split] = [names[split][n] for n in kept]
                checked = {**checked, split: checked[split].only(kept)}
        self._names, self._checked = names, checked

    def _test(self, domain: str) -> str:
        return f"test_{domain}" if f"test_{domain}" in self._names else f"train_{domain}"

    def _new_order(self) -> UnpairedSampler:
        counts = self._count("train_a"), self._count("train_b")
        return UnpairedSampler(self.seed, *counts, self.pairing)

    def _middle(self, split: str, index: int) -> np.ndarray:
        image = self._checked[split].resized_for_test(index)
        return self._pixels.to_output(self._preprocess[split[-1]].centre(image))

    def _hashed(self) -> str:
        facts = [
            [split, stem(name), size]
            for split, checked in self._checked.items()
            for name, size in checked.facts()
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def _summary(self) -> str:
        parts = []
        for domain in "ab":
            split = self._test(domain)
            test = f"{self._count(split)} test" if split.startswith("test") else "no test folder"
            parts.append(
                f"{self._count(f'train_{domain}')} training and {test} pictures in {domain}"
            )
        return "data: " + ", ".join(parts)


def _load(value: int | list[int] | None) -> Size | None:
    return None if value is None else parse_size("load_size", value)


def _few(checked: dict[str, ValidatedSource]) -> list[str]:
    """Domains of which too little is left after skipping bad files."""
    return [
        f"Only {len(found)} usable picture(s) left in {name}: repair the files listed above."
        for name, found in checked.items()
        if len(found) < (2 if name.startswith("train") else 1)
    ]


def _unequal(
    checked: dict[str, ValidatedSource], preprocess: dict[str, Preprocess], batch: int
) -> list[str]:
    """Domains whose training images cannot be stacked to a batch."""
    faults = []
    for domain, settings in preprocess.items():
        name = f"train_{domain}"
        sizes = Counter(checked[name].sizes)
        if batch > 1 and not settings.crops and len(sizes) > 1:
            odd = min(sizes, key=lambda size: sizes[size])
            example = checked[name].files[checked[name].sizes.index(odd)]
            faults.append(
                f"data.preprocess={settings.name} leaves {len(sizes)} different sizes in {name} "
                f"(such as {odd[1]} x {odd[0]} of {example}), which train.batch={batch} cannot "
                "stack: use train.batch=1 or data.preprocess=resize_and_crop."
            )
    return faults
