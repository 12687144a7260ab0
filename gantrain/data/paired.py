"""data=paired: pairs of images, side by side in one picture or of equal names in two folders."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from gantrain.data.bit_depth import Channels, Depth
from gantrain.data.cache import CacheMode
from gantrain.data.findings import ImageSource
from gantrain.data.folder import UnpairedFolder
from gantrain.data.halves import Half, whole_pictures
from gantrain.data.layout import Roots
from gantrain.data.pairs import PairFiles, find_pairs, hold_out, orphan_faults
from gantrain.data.preflight import ValidatedSource
from gantrain.data.sampler import AUGMENT_A, counter_random
from gantrain.data.transforms import Interpolation, PreprocessName
from gantrain.data.views import Layout, Pages, Window
from gantrain.errors import ConfigError, counted
from gantrain.io.remote.blocks import DEFAULT_GB
from gantrain.types import Positive, Range

_SAME_ASPECT = 0.01  # relative difference of two images of a pair that may come from rounding
_WHOLE = "has the aspect of one half of the others: it looks like one image"


class PairedFolder(UnpairedFolder):
    """Pairs of images in folders or a zip archive; one resize, crop and mirroring for both.

    Args:
        seed: of order, crops and mirroring.
        root, root_a, root_b: see `gantrain.data.pairs.find_pairs`.
        direction: "ba": the stream "a" is domain b of the files (the right half), and "b" is a.
        interpolation_a, interpolation_b: of the resize, see `Preprocess`; after the direction.
        channels_a, channels_b: likewise.
        on_bad_file: "skip" leaves out pairs that cannot be used.
        max_images, held_out: in pairs.
        others: see `UnpairedFolder`.

    Raises:
        ConfigError: the folders do not exist or have another structure.
    """

    kind: ClassVar[Literal["unpaired", "paired", "images"]] = "paired"
    choice: ClassVar[str] = "paired"

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        root_a: Roots = None,
        root_b: Roots = None,
        direction: Literal["ab", "ba"] = "ab",
        url: str | list[str] | None = None,
        url_sha256: str | None = None,
        url_bytes: int | None = None,
        resolution: int | list[int] = 256,
        load_size: int | list[int] | None = None,
        preprocess: PreprocessName = "resize_and_crop",
        interpolation_a: Interpolation = "bicubic",
        interpolation_b: Interpolation = "bicubic",
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
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        remote_cache_gb: Positive = DEFAULT_GB,
        on_bad_file: Literal["error", "skip"] = "error",
        max_images: int | None = None,
        held_out: int = 0,
        hint: str | None = None,
    ) -> None:
        self._direction = direction
        self._halves: dict[str, Half] = {}
        self._orphans: list[str] = []
        super().__init__(
            seed=seed, root=root, root_a=root_a, root_b=root_b, hint=hint,
            url=url, url_sha256=url_sha256, url_bytes=url_bytes,
            resolution=resolution, load_size=load_size, preprocess=preprocess, flip=flip,
            channels_a=channels_a, channels_b=channels_b, depth=depth, clip=clip, show=show,
            value_range=value_range, value_range_a=value_range_a, value_range_b=value_range_b,
            pages=pages, array_layout=array_layout, array_name=array_name,
            slices=slices, window=window,
            cache=cache, cache_gb=cache_gb, cache_dir=cache_dir,
            remote_cache_gb=remote_cache_gb,
            on_bad_file=on_bad_file, max_images=max_images, held_out=held_out, test_pairs=True,
        )  # fmt: skip
        for domain, interpolation in (("a", interpolation_a), ("b", interpolation_b)):
            settings = replace(self._preprocess[domain], interpolation=interpolation)
            self._preprocess[domain] = settings

    def notes(self) -> list[str]:
        """Return sentences about what was taken for what, and what is left out."""
        notes = super().notes()
        if self._halves:
            left, right = ("a", "b") if self._direction == "ab" else ("b", "a")
            notes[0] += f"; the left half of a picture is {left}, the right half {right}"
        if self._orphans:
            notes.append(
                f"left out {counted(len(self._orphans), 'image')} without a partner, such as "
                f"{self._orphans[0]} (data.on_bad_file=skip)"
            )
        return notes

    def sources(self, log: Callable[[str], None]) -> dict[str, ImageSource]:
        """Return the files of "train_a", "train_b" and, if any, "test_a", "test_b".

        Raises:
            ConfigError: see `UnpairedFolder.sources`; or images have no partner.
        """
        sources = super().sources(log)
        if self._orphans and not self._skip:
            raise ConfigError(*orphan_faults(self._orphans))
        return {
            split: replace(source, half=self._halves.get(split[-1]))
            for split, source in sources.items()
        }

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return a pair, "a" and "b", with the same crop and mirroring."""
        index, bits = self._draw(position)
        return {domain: self._augmented(domain, index, bits) for domain in "ab"}

    def describe(self) -> dict[str, Any]:
        """Return a description in plain values, see `UnpairedFolder.describe`."""
        description = {**super().describe(), "kind": "pairs", "direction": self._direction}
        del description["pairing"]
        description["side_by_side"] = bool(self._halves)
        description["interpolation"] = {d: self._preprocess[d].interpolation for d in "ab"}
        return description

    def _draw(self, position: int) -> tuple[int, np.ndarray]:
        """Return which pair comes at a position, and the random bits of crop and mirroring."""
        return self._sampler(position)[0], counter_random(self.seed, AUGMENT_A, position, 3)

    def _list_files(
        self,
        root: str | None,
        root_a: Roots = None,
        root_b: Roots = None,
        hint: str | None = None,
    ) -> None:
        found = self._find(root, root_a, root_b, hint)
        self._names = hold_out(found.names, self._max_images, self._held_out)
        self._unread, self._unused, self._orphans = found.unread, found.unused, found.orphans
        self._halves = found.halves
        self._folders = {
            split: found.folders.get(split) or found.folders[f"train_{split[-1]}"]
            for split in self._names
        }
        self._sampler = self._make_sampler()

    def _find(self, root: str | None, root_a: Roots, root_b: Roots, hint: str | None) -> PairFiles:
        found = find_pairs(root, root_a, root_b, hint, self._formats, self._cache.blocks)
        return found if self._direction == "ab" else found.swapped()

    def _use(self, checked: dict[str, ValidatedSource]) -> None:
        """Use the pairs whose images are both usable and fit together."""
        faults: list[str] = []
        for split in dict.fromkeys(name.partition("_")[0] for name in checked):
            a, b = checked[f"{split}_a"], checked[f"{split}_b"]
            partners = {number: i for i, number in enumerate(b.numbers)}
            both = [(i, partners[n]) for i, n in enumerate(a.numbers) if n in partners]
            whole = whole_pictures(a.file_sizes) if self._halves else set()
            files, good = a.files, []
            for i, j in both:
                if fault := _WHOLE if i in whole else _misfit(a, b, i, j):
                    faults.append(f"  {files[i]} {fault}")
                else:
                    good.append((i, j))
            checked[f"{split}_a"] = a.only([i for i, _ in good])
            checked[f"{split}_b"] = b.only([j for _, j in good])
        if faults and not self._skip:
            raise ConfigError(
                f"{counted(len(faults), 'pair')} cannot be used; repair or remove them, or leave "
                "them out with data.on_bad_file=skip:",
                *faults,
            )
        if (count := len(checked["train_a"])) < 2:
            raise ConfigError(f"Only {counted(count, 'usable training pair')} left: add some.")
        self._names = {split: usable.names for split, usable in checked.items()}
        self._checked = checked


def _misfit(a: ValidatedSource, b: ValidatedSource, i: int, j: int) -> str:
    """Return why two images are no pair, a phrase that follows the name of the first, or ""."""
    (ha, wa), (hb, wb) = a.file_sizes[i], b.file_sizes[j]
    is_same = abs(wa * hb - wb * ha) <= _SAME_ASPECT * wa * hb
    if is_same and a.sizes[i] == b.sizes[j]:
        return ""
    return (
        f"is {wa} x {ha} pixels and its partner {b.files[j]} {wb} x {hb}: the images of a pair "
        "need the same size, or with data.preprocess=resize_and_crop the same aspect"
    )
