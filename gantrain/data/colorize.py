"""data=colorize: from the lightness of pictures to their colours (Isola et al. 2017, pix2pix)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from gantrain.data.cache import CacheMode
from gantrain.data.findings import ImageSource
from gantrain.data.layout import Roots
from gantrain.data.paired import PairedFolder
from gantrain.data.pairs import PairFiles, find_pictures
from gantrain.data.preflight import ValidatedSource
from gantrain.data.transforms import PreprocessName
from gantrain.data.views import Layout
from gantrain.io.remote.blocks import DEFAULT_GB
from gantrain.ops.lab import split_rgb
from gantrain.types import Positive


class ColorizeFolder(PairedFolder):
    """Pictures as pairs: "a" is L of CIE Lab, "b" its a and b, see `gantrain.ops.lab.split_rgb`.

    Pictures are resized, cropped and mirrored in RGB, and converted then.

    Args:
        seed: of order, crops and mirroring.
        root: see `gantrain.data.pairs.find_pictures`.
        depth: bits per channel of the pictures.
        others: see `PairedFolder`.

    Raises:
        ConfigError: the folder does not exist or has another structure.
    """

    needs_pairs: ClassVar[bool] = True
    choice: ClassVar[str] = "colorize"

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        resolution: int | list[int] = 256,
        load_size: int | list[int] | None = None,
        preprocess: PreprocessName = "resize_and_crop",
        flip: bool = True,
        depth: Literal[8, 16] = 8,
        pages: Literal["first", "each"] | None = None,
        array_layout: Layout | None = None,
        array_name: str | None = None,
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        remote_cache_gb: Positive = DEFAULT_GB,
        on_bad_file: Literal["error", "skip"] = "error",
        max_images: int | None = None,
        held_out: int = 0,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            seed=seed, root=root, hint=hint,
            resolution=resolution, load_size=load_size, preprocess=preprocess, flip=flip,
            depth=depth, pages=pages, array_layout=array_layout, array_name=array_name,
            cache=cache, cache_gb=cache_gb, cache_dir=cache_dir,
            remote_cache_gb=remote_cache_gb,
            on_bad_file=on_bad_file, max_images=max_images, held_out=held_out,
        )  # fmt: skip
        self.channels = {"a": 1, "b": 2}

    def notes(self) -> list[str]:
        """Return sentences about what was taken for what, and what is left out."""
        places = [f"{split} from {self._folders[f'{split}_a']}" for split in self._splits()]
        first = f"pictures of {', '.join(places)}; their L (CIE Lab) is a, their colours are b"
        return [first, *super().notes()[1:]]

    def sources(self, log: Callable[[str], None]) -> dict[str, ImageSource]:
        """Return the files of "train" and, if any, "test"."""
        sources = super().sources(log)
        return {
            split: replace(sources[f"{split}_a"], channels=3, teaches_colors=True)
            for split in self._splits()
        }

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return "a" [1, H, W] and "b" [2, H, W], float32 in [-1, 1], of one crop."""
        index, bits = self._draw(position)
        return dict(zip("ab", split_rgb(self._augmented("a", index, bits)), strict=True))

    def describe(self) -> dict[str, Any]:
        """Return a description in plain values; "space": "lab" tells what the channels mean."""
        return {**super().describe(), "kind": "colorize", "space": "lab"}

    def _find(self, root: str | None, root_a: Roots, root_b: Roots, hint: str | None) -> PairFiles:
        return find_pictures(root, hint, self._formats, self._cache.blocks)

    def _use(self, checked: dict[str, ValidatedSource]) -> None:
        super()._use(
            {f"{split}_{domain}": one for split, one in checked.items() for domain in "ab"}
        )

    def _center_crop(self, split: str, index: int) -> np.ndarray:
        return split_rgb(super()._center_crop(split, index))["ab".index(split[-1])]

    def _summary(self) -> str:
        test = self._count("test_a")
        tested = f"{test} test" if test else "no test"
        return f"data: {self._count('train_a')} training and {tested} pictures"

    def _splits(self) -> list[str]:
        return [name.removesuffix("_a") for name in self._names if name.endswith("_a")]
