"""data=hf: single images of a data set that Hugging Face's package `datasets` has saved.

The package itself is not needed: `gantrain.data.hf_folder` reads its folders.
"""

from dataclasses import replace
from typing import Literal

from gantrain.data.bit_depth import Channels, Depth
from gantrain.data.cache import CacheMode
from gantrain.data.hf_folder import open_saved
from gantrain.data.image_files import Reading
from gantrain.data.image_folder import ImageFolder
from gantrain.data.location import ImageLocation
from gantrain.data.roots import ResolvedRoot
from gantrain.data.transforms import Filter, Resize
from gantrain.data.views import Pages


class SavedImages(ImageFolder):
    """Images in a folder of `Dataset.save_to_disk` or `DatasetDict.save_to_disk`.

    They are an `ImageFolder` of the files 000000.png, 000001.jpg, ..., in the order of the rows.
    The split test, else validation, holds the test images.

    Args:
        seed: of order and mirroring.
        root: the folder.
        column: of the images, encoded (datasets.Image); None: the only one that is declared so.
        label: column of the classes: a ClassLabel, whole numbers or texts; None: no labels.
        resolution, channels, depth, value_range, clip, pages, show, resize, filter, flip, cache,
            cache_gb, cache_dir: see `ImageFolder`.
        on_bad_file: "skip" leaves out rows without an image that can be used.
        max_images, held_out, reading: see `ImageFolder`.

    Raises:
        ConfigError: there are no images at `root`, or their labels cannot be read.
    """

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        column: str | None = None,
        label: str | None = None,
        resolution: int | list[int] = 256,
        channels: Channels = 3,
        depth: Depth = 8,
        value_range: list[float] | None = None,
        clip: bool = False,
        pages: Pages | None = None,
        show: list[int] | None = None,
        resize: Resize = "crop",
        filter: Filter = "lanczos",
        flip: bool = True,
        cache: CacheMode = "auto",
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        on_bad_file: Literal["error", "skip"] = "error",
        max_images: int | None = None,
        held_out: int = 0,
        reading: Reading = 3,
    ) -> None:
        self._columns = column, label
        super().__init__(
            seed=seed,
            root=root,
            resolution=resolution,
            channels=channels,
            depth=depth,
            value_range=value_range,
            clip=clip,
            pages=pages,
            show=show,
            resize=resize,
            filter=filter,
            flip=flip,
            labels=label is not None,
            cache=cache,
            cache_gb=cache_gb,
            cache_dir=cache_dir,
            on_bad_file=on_bad_file,
            max_images=max_images,
            held_out=held_out,
            reading=reading,
        )

    def _find_root(self, root: str | None, hint: str | None) -> ResolvedRoot:
        saved = open_saved(root, *self._columns, self._skip, self._reading)
        splits = {
            split: replace(ImageLocation(rows, ""), reading=self._reading, formats=self._formats)
            for split, rows in saved.rows.items()
        }
        return ResolvedRoot(splits["train"], splits, saved.unused)
