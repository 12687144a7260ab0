"""data=folder for unpaired translation: two sets of image files."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from gantrain.data.bit_depth import Channels, Depth, pixel_format
from gantrain.data.cache import CacheMode, cache_folder
from gantrain.data.image_files import Reading, unread_kinds, unread_warning
from gantrain.data.labels import join_limited
from gantrain.data.layout import Folders, Names, Roots, find_files, find_folders, pair_key, stem
from gantrain.data.location import describe_versions
from gantrain.data.pixel_settings import check_show, check_window, describe_pixels, make_formats
from gantrain.data.preflight import (
    CacheSettings,
    ImageSource,
    ValidatedSource,
    count_faults,
    preflight,
    size_faults,
)
from gantrain.data.remote import RemoteArchive
from gantrain.data.sampler import AUGMENT_A, AUGMENT_B, Pairing, UnpairedSampler, counter_random
from gantrain.data.transforms import Preprocess, PreprocessName, Size, parse_size, setting_faults
from gantrain.data.views import AnyFile, Layout, Pages, Window
from gantrain.errors import ConfigError
from gantrain.io.remote.blocks import DEFAULT_GB
from gantrain.types import Positive, Range

_STREAMS = {"a": AUGMENT_A, "b": AUGMENT_B}


class UnpairedFolder:
    """Two domains of images in folders or zip archives, which are read recursively.

    The constructor finds the folders and lists the files; images are available after `prepare`.

    Args:
        seed: of order, crops and mirroring.
        root: holds trainA/, trainB/ and perhaps testA/, testB/.
        root_a, root_b: instead of `root`, one per domain: images, or train/ and perhaps test/;
            several: images of the same name are stacked, channel by channel.
        url, url_sha256, url_bytes: without a root: a zip archive (one or several urls to try) that
            `prepare` downloads and unpacks into the cache folder.
        resolution: a number or [height, width] in pixels.
        load_size, preprocess: see `Preprocess`.
        preprocess_a, preprocess_b, load_size_a, load_size_b: override these for one domain.
        flip: whether training images are mirrored at random.
        channels_a, channels_b: 1 grey, 3 RGB, one more with alpha, or any number of bands.
        depth, value_range, clip: see `PixelFormat`; value_range is [low, high].
        value_range_a, value_range_b: override it for one domain.
        pages, array_layout, array_name, slices, window: how files are read that may mean several
            things, see `Formats`; window is [center, width] or "file".
        show: bands, from 1, that grids show of images with more than 3 channels; None: the first.
        pairing: see `UnpairedSampler`.
        cache, cache_gb: see `gantrain.data.cache.choose_mode`.
        cache_dir: of caches and downloads; None: see `gantrain.data.cache.cache_folder`.
        remote_cache_gb: 1e9 bytes of the parts of remote files that are kept in `cache_dir`.
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
    choice: ClassVar[str] = "folder"  # the data= that reads a packed set
    label_dim = 0
    pairing: Pairing
    _reading: Reading

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        root_a: Roots = None,
        root_b: Roots = None,
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
        value_range_a: list[float] | None = None,
        value_range_b: list[float] | None = None,
        clip: bool = False,
        pages: Pages | None = None,
        array_layout: Layout | None = None,
        array_name: str | None = None,
        slices: Annotated[int, Range(0, 2)] | None = None,
        window: Window | None = None,
        show: list[int] | None = None,
        pairing: Pairing = "shuffle",
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        remote_cache_gb: Positive = DEFAULT_GB,
        on_bad_file: Literal["error", "skip"] = "error",
        test_pairs: bool = False,
        max_images: int | None = None,
        held_out: int = 0,
        hint: str | None = None,
        reading: Reading = 3,
    ) -> None:
        self.seed, self.has_pairs, self.pairing = seed, test_pairs, pairing
        self.channels: dict[str, int] = {"a": channels_a, "b": channels_b}
        self.resolution = parse_size("resolution", resolution)
        a = preprocess_a or preprocess, load_size_a or load_size
        b = preprocess_b or preprocess, load_size_b or load_size
        size = self.resolution
        self._preprocess = {"a": _preprocess(*a, size, flip), "b": _preprocess(*b, size, flip)}
        ranges = {"a": value_range_a or value_range, "b": value_range_b or value_range}
        self._pixels = {domain: pixel_format(depth, x, clip) for domain, x in ranges.items()}
        self._formats = make_formats(pages, array_layout, array_name, slices, window)
        check_window(self._formats, [(one.low, one.high) for one in self._pixels.values()])
        self.show = check_show(show, [channels_a, channels_b])
        self._cache = CacheSettings(cache, cache_gb, cache_folder(cache_dir), remote_cache_gb)
        self._skip, self._reading = on_bad_file == "skip", reading
        self._max_images, self._held_out = max_images, held_out
        published = (_urls(url), url_sha256, url_bytes) if url else None
        self._open(root, root_a, root_b, hint, published)

    def _open(
        self,
        root: str | None,
        root_a: Roots,
        root_b: Roots,
        hint: str | None,
        published: tuple[tuple[str, ...], str | None, int | None] | None,
    ) -> None:
        """List the files, unless they are those of a published set that is not downloaded yet."""
        self._folders: Folders = {}
        self._names, self._unread = Names(), Names()  # images, and files that are none, by folder
        self._unused: list[str] = []  # folders and images beside the ones that are used
        self._checked: dict[str, ValidatedSource] = {}
        self._fingerprint = ""  # until `prepare`
        self._remote: RemoteArchive | None = None
        if published and root is None and root_a is None and root_b is None:
            self._remote = RemoteArchive(*published, self._cache.folder)
        if self._remote and (unpacked := self._remote.find()):
            root = str(unpacked)
        if self._remote is None or root is not None:
            self._list_files(root, root_a, root_b, hint)

    @property
    def crops(self) -> bool:
        """Whether all training images are cropped to `resolution`."""
        return all(settings.crops for settings in self._preprocess.values())

    def image_sizes(self) -> list[tuple[AnyFile, Size]]:
        """Return the usable images that are not cropped, and (height, width) after the resize."""
        pairs = [
            pair
            for split, checked in self._checked.items()
            if not self._preprocess[split[-1]].crops
            for pair in zip(checked.files, checked.sizes, strict=True)
        ]
        return list(dict.fromkeys(pairs))  # both domains may be of one file

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
        faults = [*count_faults(checked), *size_faults(checked, batch)]
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
        notes += dict.fromkeys(x for y in self._folders.values() for x in y.archive_notes())
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
                self._folders[split].images(names),
                self.channels[split[-1]],
                self._preprocess[split[-1]],
                self._pixels[split[-1]],
                split.startswith("test"),
            )
            for split, names in self._names.items()
        }

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return the augmented images of "a" and "b" at a position, as the protocol says."""
        indices = self._sampler(position)
        return {
            domain: self._augmented(
                domain, index, counter_random(self.seed, _STREAMS[domain], position, 3)
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
            "depth": self._pixels["a"].depth,
            "pixels": {domain: self._describe_pixels(domain) for domain in "ab"},
            "formats": self._formats.describe(),
            "show": self.show,
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
            **describe_versions(self._folders),
            "reading": self._reading,
            "fingerprint": self._fingerprint,
        }

    def _describe_pixels(self, domain: str) -> dict[str, Any]:
        split = f"train_{domain}"
        alpha = split in self._checked and self._checked[split].source.alpha
        stacked = 1 + len(self._folders[split].stacked) if split in self._folders else 1
        return describe_pixels(self._pixels[domain], alpha, stacked)

    def _list_files(
        self,
        root: str | None,
        root_a: Roots = None,
        root_b: Roots = None,
        hint: str | None = None,
    ) -> None:
        folders, self._unused = find_folders(
            root, root_a, root_b, hint, self._reading, self._formats, self._cache.blocks
        )
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

    def _augmented(self, domain: str, index: int, bits: np.ndarray) -> np.ndarray:
        """Return training image `index` of a domain, cropped and mirrored by `bits`."""
        image = self._checked[f"train_{domain}"].resized(index)
        return self._pixels[domain].to_output(self._preprocess[domain].augment(image, bits))

    def _center_crop(self, split: str, index: int) -> np.ndarray:
        image = self._checked[split].resized_for_test(index)
        domain = split[-1]
        return self._pixels[domain].to_output(self._preprocess[domain].center_crop(image))

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


def _preprocess(
    name: PreprocessName, load_size: int | list[int] | None, resolution: Size, flip: bool
) -> Preprocess:
    size = None if load_size is None else parse_size("load_size", load_size)
    return Preprocess(name, resolution, size, flip)
