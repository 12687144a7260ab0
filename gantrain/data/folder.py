"""`folder`: two unpaired sets of picture files."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from gantrain.data.cache import CacheMode, cache_folder
from gantrain.data.images import reload_image
from gantrain.data.layout import Folders, find_files, find_folders, partner, stem
from gantrain.data.online import Online
from gantrain.data.order import AUGMENT_A, AUGMENT_B, Pairing, UnpairedOrder, raw_bits
from gantrain.data.preflight import CacheSettings, Checked, Source, preflight
from gantrain.data.transforms import Preprocess, PreprocessName, setting_faults, sides
from gantrain.errors import ConfigError

Channels = Literal[1, 3, 4]
_STREAMS = {"a": AUGMENT_A, "b": AUGMENT_B}


class UnpairedFolder:
    """Pictures from `root`/trainA, trainB, testA, testB, or from `root_a` and `root_b`.

    `root_a` and `root_b` are each a folder of pictures, or hold `train` and perhaps `test`. Folders
    are read recursively. `load_size` and `preprocess` are explained at `Preprocess`; sizes are
    one number or [height, width]. `max_images` takes the first so many of each sorted training
    folder. With no root but a `url` (one or several to try) the set is an archive that `prepare`
    downloads and unpacks into `cache_dir` if it is not there. The constructor finds the folders and
    lists the files (raises ConfigError); images can be asked for after `prepare`.
    """

    kind: ClassVar[Literal["unpaired", "images"]] = "unpaired"

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
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        pairing: Pairing = "shuffle",
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        on_bad_file: Literal["error", "skip"] = "error",
        test_pairs: bool = False,
        max_images: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.seed, self.has_pairs = seed, test_pairs
        self.pairing: Pairing = pairing
        self.channels: dict[str, int] = {"a": channels_a, "b": channels_b}
        self.resolution = sides("resolution", resolution)
        load = None if load_size is None else sides("load_size", load_size)
        self._preprocess = Preprocess(preprocess, self.resolution, load, flip)
        self._cache = CacheSettings(cache, cache_gb, cache_folder(cache_dir))
        self._skip = on_bad_file == "skip"
        self._folders: Folders = {}
        self._files: dict[str, list[Path]] = {}
        self._max_images = max_images
        self._online: Online | None = None
        if url and root is None and root_a is None and root_b is None:
            urls = (url,) if isinstance(url, str) else tuple(url)
            self._online = Online(urls, url_sha256, url_bytes, cache_folder(cache_dir))
            found = self._online.find()
            root = str(found) if found else None
        self._checked: dict[str, Checked] = {}
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
        settings = self._preprocess = replace(self._preprocess, multiple=multiple)
        faults = setting_faults(settings)
        if faults:
            raise ConfigError(*faults)
        if self._online and not self._files:
            self._find(find_folders(str(self._online.get(log)), None, None, None))
        if settings.load_size is not None and settings.name in ("crop", "none"):
            log(f"data: warning: data.load_size is not used by data.preprocess={settings.name}")
        sources = {
            name: Source(files, self.channels[name[-1]], name.startswith("test"))
            for name, files in self._files.items()
        }
        checked = preflight(sources, settings, self._cache, self._skip, log)
        faults = [*_few(checked), *_unequal(checked, settings, batch)]
        if faults:
            raise ConfigError(*faults)
        self._checked = _partners(checked, self._folders) if self.has_pairs else checked
        self._order = self._new_order()
        self._fingerprint = self._hashed()
        log(self._summary())

    def item(self, position: int) -> dict[str, np.ndarray]:
        """uint8 [C, H, W] of "a" and "b" at `position`: a pure function of (seed, position)."""
        indices = self._order(position)
        return {
            domain: self._preprocess.augment(
                self._resized(f"train_{domain}", index),
                raw_bits(self.seed, _STREAMS[domain], position, 3),
            )
            for domain, index in zip("ab", indices, strict=True)
        }

    def test_count(self, domain: str) -> int:
        """The number of test images of `domain`, "a" or "b"."""
        return self._count(self._test(domain))

    def test_item(self, domain: str, index: int) -> np.ndarray:
        """uint8 [C, H, W]: test image `index` of "a" or "b", without random crop or flip."""
        path = self._checked[self._test(domain)].files[index]
        picture = reload_image(path, self.channels[domain])
        return self._preprocess.centre(self._preprocess.resize(picture, test=True))

    def test_name(self, domain: str, index: int) -> str:
        """The path of test image `index` below its folder, without the extension."""
        split = self._test(domain)
        return stem(self._current(split)[index], self._folders[split])

    def describe(self) -> dict[str, object]:
        """Plain values for logs and snapshots; `fingerprint`: the used files' names and sizes."""
        settings = self._preprocess
        return {
            "kind": "folder",
            "resolution": list(self.resolution),
            "channels": dict(self.channels),
            "preprocess": settings.name,
            "load_size": list(settings.load) if settings.name not in ("crop", "none") else None,
            "flip": settings.flip,
            "pairing": self.pairing,
            "train": {domain: self._count(f"train_{domain}") for domain in "ab"},
            "test": {domain: self.test_count(domain) for domain in "ab"},
            "test_pairs": self.has_pairs,
            "test_is_train": {domain: self._test(domain) == f"train_{domain}" for domain in "ab"},
            "folders": {name: str(path) for name, path in self._folders.items()},
            "fingerprint": self._fingerprint,
        }

    def _find(self, folders: Folders) -> None:
        self._folders = folders
        self._files = find_files(folders, self.has_pairs, self._max_images)
        self._order = self._new_order()

    def _current(self, split: str) -> list[Path]:
        return self._checked[split].files if self._checked else self._files[split]

    def _count(self, split: str) -> int:
        return len(self._current(split))

    def _test(self, domain: str) -> str:
        return f"test_{domain}" if f"test_{domain}" in self._files else f"train_{domain}"

    def _new_order(self) -> UnpairedOrder:
        counts = self._count("train_a"), self._count("train_b")
        return UnpairedOrder(self.seed, *counts, self.pairing)

    def _resized(self, split: str, index: int) -> np.ndarray:
        checked = self._checked[split]
        if checked.store is not None:
            return checked.store[index]
        return self._preprocess.resize(reload_image(checked.files[index], self.channels[split[-1]]))

    def _hashed(self) -> str:
        facts = [
            [split, stem(path, self._folders[split]), path.stat().st_size]
            for split in self._files
            for path in self._current(split)
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


def _few(checked: dict[str, Checked]) -> list[str]:
    """Domains of which too little is left after skipping bad files."""
    return [
        f"Only {len(found.files)} usable picture(s) left in {name}: repair the files listed above."
        for name, found in checked.items()
        if len(found.files) < (2 if name.startswith("train") else 1)
    ]


def _unequal(checked: dict[str, Checked], preprocess: Preprocess, batch: int) -> list[str]:
    """Domains whose training images cannot be stacked to a batch."""
    if batch == 1 or preprocess.crops:
        return []
    faults = []
    for name in ("train_a", "train_b"):
        sizes = Counter(checked[name].sizes)
        if len(sizes) > 1:
            odd = min(sizes, key=lambda size: sizes[size])
            example = checked[name].files[checked[name].sizes.index(odd)]
            faults.append(
                f"data.preprocess={preprocess.name} leaves {len(sizes)} different sizes in {name} "
                f"(such as {odd[1]} x {odd[0]} of {example}), which train.batch={batch} cannot "
                "stack: use train.batch=1 or data.preprocess=resize_and_crop."
            )
    return faults


def _partners(checked: dict[str, Checked], folders: Folders) -> dict[str, Checked]:
    """Drop test pictures whose partner was skipped, so that equal numbers stay partners."""
    stems = {
        name: [partner(name, stem(path, folders[name])) for path in checked[name].files]
        for name in ("test_a", "test_b")
    }
    both = set(stems["test_a"]) & set(stems["test_b"])
    result = dict(checked)
    for name, names in stems.items():
        found = checked[name]
        keep = [number for number, one in enumerate(names) if one in both]
        result[name] = Checked(
            [found.files[n] for n in keep], [found.sizes[n] for n in keep], found.store
        )
    return result
