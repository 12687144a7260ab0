"""What every data set offers, and what sets of single images share: order, mirroring, labels."""

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from gantrain.data.image_files import Reading
from gantrain.data.labels import Labels, Values, limited_indices
from gantrain.data.preflight import ImageSource
from gantrain.data.sampler import AUGMENT_A, ORDER_A, counter_random, permutation
from gantrain.data.transforms import format_size, round_up
from gantrain.errors import ConfigError

Log = Callable[[str], None]
Stack = np.ndarray  # uint8 [N, C, H, W]


class Dataset(Protocol):
    """The interface of a data set for training, commands and metrics.

    Its streams are "a" and "b" of an unpaired set, "image" of a set of single images; `label_dim`
    above 0 adds the stream "label". Images are arrays [C, H, W], uint8, uint16 or float32 in
    [-1, 1]; labels are float32 [label_dim]. Everything except `prepare` depends only on the
    constructor's arguments and the files.
    """

    kind: ClassVar[Literal["unpaired", "paired", "images"]]
    seed: int
    has_pairs: bool  # test image i of "a" shows the same as test image i of "b"
    channels: dict[str, int]  # by stream
    resolution: tuple[int, int]  # (height, width) of training images

    @property
    def images_per_epoch(self) -> int:
        """The number of positions after which every training image was seen."""
        ...

    @property
    def label_dim(self) -> int:
        """Entries of a label; 0: there are none."""
        ...

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Check every image and fill the cache; images are available afterwards.

        Args:
            batch: images per batch; above 1 all training images must have one size.
            multiple: image sides must be multiples of it.
            log: receives one line of text at a time.

        Raises:
            ConfigError: lists all faults of the files and settings.
        """
        ...

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return one training image (and label) of every stream, augmented.

        A pure function of (seed, position), for any position from 0 on.
        """
        ...

    def train_count(self, stream: str) -> int:
        """Return the number of training images of a stream of images."""
        ...

    def train_item(self, stream: str, index: int) -> np.ndarray:
        """Return training image (or "label") `index`, not augmented.

        Args:
            stream: "a" or "b" of an unpaired set, "image" or "label" of single images.
            index: from 0, below the count of the stream.

        Returns:
            An image [C, H, W], or a label, float32 [label_dim].
        """
        ...

    def held_count(self, stream: str) -> int:
        """Return the number of test images that are not trained on, which may be 0."""
        ...

    def test_count(self, stream: str) -> int:
        """Return the number of test images; without any, that of training images."""
        ...

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Return test image (or "label") `index`, not augmented.

        Args:
            stream: "a" or "b" of an unpaired set, "image" or "label" of single images.
            index: from 0, below the count of the stream.

        Returns:
            An image [C, H, W], or a label, float32 [label_dim].
        """
        ...

    def test_name(self, stream: str, index: int) -> str:
        """Return a name for test image `index`, usable as a file name without a suffix."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return a description in plain values; "fingerprint" changes with the images."""
        ...


def check_members(data: object) -> None:
    """Check that a data set has all that `Dataset` asks for; one of a plug-in may not.

    Args:
        data: the data set, not yet prepared.

    Raises:
        ConfigError: names what is missing.
    """
    needed = {name for name in vars(Dataset) if not name.startswith("_")}
    needed |= set(Dataset.__annotations__)
    if missing := sorted(name for name in needed if not hasattr(data, name)):
        raise ConfigError(
            f"The data set {type(data).__module__}.{type(data).__name__} lacks "
            f"{', '.join(missing)}, which gantrain.data.base.Dataset describes: add "
            f"{'it' if len(missing) == 1 else 'them'}."
        )


@runtime_checkable
class FileDataset(Dataset, Protocol):
    """A data set of image files, which `gantrain prepare` can inspect and pack."""

    def sources(self, log: Log) -> dict[str, ImageSource]:
        """Return the files of every split, such as "train"; downloads a published set first."""
        ...


class ImageDataset:
    """Base class of sets of single images with the streams "image" and perhaps "label".

    Subclasses set `channels`, `resolution`, `images_per_epoch` and `_labels` (None: unconditional)
    in their constructor, the labels' `_values` and the `_fingerprint` in `prepare`, and define
    `_image(split, index)` and `_size(split)` for the splits "train" and "test".

    Args:
        seed: of order and mirroring.
        flip: whether training images are mirrored at random.
        reading: version of the rules by which images are found and ordered, see
            `gantrain.data.image_files.Reading`.
    """

    kind: ClassVar[Literal["unpaired", "paired", "images"]] = "images"
    has_pairs: bool = False
    channels: dict[str, int]
    resolution: tuple[int, int]
    images_per_epoch: int

    def __init__(self, seed: int, flip: bool, reading: Reading = 3) -> None:
        self.seed, self.flip = seed, flip
        self._reading: Reading = reading
        self._labels: Labels | None = None
        self._values: dict[str, Values] = {}
        self._fingerprint = ""  # until `prepare`
        self._epoch: tuple[int, np.ndarray] | None = None  # number and permutation of the last one

    @property
    def label_dim(self) -> int:
        """Entries of a label; 0: there are none."""
        return self._labels.dim if self._labels else 0

    @property
    def label_scale(self) -> list[list[float]] | None:
        """Means and deviations of labels that are numbers, for `ImageSpec`; None: of classes."""
        # The networks of runs from before the second reading take the numbers as they are.
        if self._labels is None or self._reading == 1:
            return None
        return self._labels.scale(self._values["train"]) if "train" in self._values else None

    @property
    def label_examples(self) -> list[list[float]]:
        """Labels of some training images, see `Labels.examples`."""
        return self._labels.examples(self._values["train"]) if self._labels else []

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return the image (and label) at a position, as the protocol says.

        Every image comes once per epoch, in a new random order.
        """
        epoch, offset = divmod(position, self.images_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, permutation(self.seed, ORDER_A, epoch, self.images_per_epoch)
        index = int(self._epoch[1][offset])
        image = self._image("train", index)
        if self.flip and int(counter_random(self.seed, AUGMENT_A, position, 1)[0]) >> 63:
            image = image[:, :, ::-1]
        item = {"image": np.ascontiguousarray(image)}
        if self._labels:
            item["label"] = self._labels.vector(self._values["train"][index])
        return item

    def train_count(self, stream: str = "image") -> int:
        """Return the number of training images."""
        return self._size("train")

    def train_item(self, stream: str, index: int) -> np.ndarray:
        """Return training image (or "label") `index`, not mirrored.

        Args:
            stream: "image" or "label".
            index: from 0, below `train_count`.
        """
        return self._get(stream, "train", index)

    def held_count(self, stream: str = "image") -> int:
        """Return the number of test images that are not trained on, which may be 0."""
        return self._size("test")

    def test_count(self, stream: str = "image") -> int:
        """Return the number of test images; without any, that of training images."""
        return self._size(self._test)

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Return test image (or "label") `index`.

        Args:
            stream: "image" or "label".
            index: from 0, below `test_count`.
        """
        return self._get(stream, self._test, index)

    def test_name(self, stream: str, index: int) -> str:
        """Return a name for test image `index`."""
        return f"{index:05d}"

    def describe(self) -> dict[str, Any]:
        """Return a description in plain values; "fingerprint" changes with the images."""
        return {
            "kind": type(self).__name__,
            "resolution": list(self.resolution),
            "channels": dict(self.channels),
            "flip": self.flip,
            "train": self.images_per_epoch,
            "test": self._size("test"),
            "labels": self._labels.describe() if self._labels else None,
            "fingerprint": self._fingerprint,
            "reading": self._reading,
        }

    def _label_notes(self) -> list[str]:
        """Return sentences about the training images' labels, of a prepared set."""
        return self._labels.notes(self._values["train"]) if self._labels else []

    def _check_multiple(self, multiple: int, fix: str = "") -> None:
        """Raise ConfigError, with the fix, unless all sides are multiples of `multiple`."""
        if all(side % multiple == 0 for side in self.resolution):
            return
        height, width = (round_up(side, multiple) for side in self.resolution)
        raise ConfigError(
            f"data.resolution={format_size(self.resolution)} does not suit this model, whose "
            f"images need sides that are multiples of {multiple}: "
            f"{fix or f'use {format_size((height, width))}'}."
        )

    def _get(self, stream: str, split: str, index: int) -> np.ndarray:
        if stream == "label" and self._labels:
            return self._labels.vector(self._values[split][index])
        return np.ascontiguousarray(self._image(split, index))

    @property
    def _test(self) -> str:
        return "test" if self._size("test") else "train"

    def _size(self, split: str) -> int:
        raise NotImplementedError

    def _image(self, split: str, index: int) -> np.ndarray:
        """Return image `index` of a split, [C, H, W]."""
        raise NotImplementedError


class InMemoryDataset(ImageDataset):
    """Base class of small sets, kept in memory as uint8 [N, C, H, W] per split.

    Args:
        seed: of order and mirroring.
        flip: whether training images are mirrored at random.
        reading: see `ImageDataset`.
    """

    _stacks: dict[str, Stack]

    def __init__(self, seed: int, flip: bool, reading: Reading = 3) -> None:
        super().__init__(seed, flip, reading)
        self._stacks = {}

    def _set_data(
        self, images: dict[str, Stack], values: dict[str, Values], limit: int | None
    ) -> None:
        """Set images and labels by split; only `limit` are trained on, with labels of every class.

        Without labels, and by version 1 of the rules, they are the first ones.
        """
        train, labels = images["train"][:limit], values["train"][:limit]
        if limit and self._labels and self._reading > 1:
            kept = limited_indices(self._labels, values["train"], limit)
            train, labels = images["train"][kept], values["train"][kept]
        self._stacks = {"train": train, "test": images["test"]}
        self._values = {"train": labels, "test": values["test"]}
        self.images_per_epoch = len(self._stacks["train"])
        hasher = hashlib.sha256(repr([s.shape for s in self._stacks.values()]).encode())
        for split in ("train", "test"):
            hasher.update(np.ascontiguousarray(self._stacks[split]).data)
            hasher.update(np.ascontiguousarray(self._values[split]).data)
        self._fingerprint = hasher.hexdigest()[:16]

    def _size(self, split: str) -> int:
        return len(self._stacks.get(split, ()))

    def _image(self, split: str, index: int) -> np.ndarray:
        return self._stacks[split][index]
