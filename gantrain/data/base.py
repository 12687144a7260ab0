"""What every data set offers, and what sets of single images share: order, mirroring, labels."""

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from gantrain.data.labels import Labels, Values
from gantrain.data.preflight import ImageSource
from gantrain.data.sampler import AUGMENT_A, ORDER_A, counter_random, permutation
from gantrain.data.transforms import format_size, round_up
from gantrain.errors import ConfigError

Log = Callable[[str], None]
Stack = np.ndarray  # uint8 [N, C, H, W]


class Dataset(Protocol):
    """What training, commands and metrics ask of a data set.

    Its streams are "a" and "b" of an unpaired set, "image" of a set of single images; `label_dim`
    above 0 adds the stream "label". Images are uint8, uint16 or float32 arrays [C, H, W], labels
    float32 [label_dim]. Apart from `prepare`, nothing depends on more than the constructor's
    arguments and the files.
    """

    kind: ClassVar[Literal["unpaired", "images"]]
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
        """Check every image and fill the cache; images can be asked for afterwards.

        Args:
            batch: images that must have one size to be stacked.
            multiple: the sides of images must be multiples of it.
            log: receives one line of text at a time.

        Raises:
            ConfigError: lists every fault of the files and of the settings.
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
        """Return training image (or "label") `index`, not augmented."""
        ...

    def held_count(self, stream: str) -> int:
        """Return the number of test images that are not trained on, perhaps 0."""
        ...

    def test_count(self, stream: str) -> int:
        """Return the number of test images; of training images if there are no test images."""
        ...

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Return test image (or "label") `index`, not augmented."""
        ...

    def test_name(self, stream: str, index: int) -> str:
        """Return a name for test image `index`, usable as a file name without an ending."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return plain values for logs and snapshots; "fingerprint" changes with the images."""
        ...


@runtime_checkable
class FileDataset(Dataset, Protocol):
    """A data set of image files, which `gantrain prepare` can inspect and pack."""

    def sources(self, log: Log) -> dict[str, ImageSource]:
        """Return the files of every split, such as "train"; downloads a published set first."""
        ...


class ImageDataset:
    """A set of single pictures "image", perhaps with a "label"; training and test pictures.

    Subclasses set `channels`, `resolution`, `images_per_epoch` and `_labels` (None: unconditional)
    in their constructor, and in `prepare` the labels' `_values` and the `_fingerprint`; they tell
    their pictures by `_picture(split, index)` and `_size(split)` with split "train" or "test".
    """

    kind: ClassVar[Literal["unpaired", "images"]] = "images"
    has_pairs: bool = False
    channels: dict[str, int]
    resolution: tuple[int, int]
    images_per_epoch: int

    def __init__(self, seed: int, flip: bool) -> None:
        self.seed, self.flip = seed, flip
        self._labels: Labels | None = None
        self._values: dict[str, Values] = {}
        self._fingerprint = ""  # until `prepare`
        self._pass: tuple[int, np.ndarray] | None = None  # number and permutation of the last one

    @property
    def label_dim(self) -> int:
        """Entries of a label; 0: there are none."""
        return self._labels.dim if self._labels else 0

    def item(self, position: int) -> dict[str, np.ndarray]:
        """ "image" uint8 [C, H, W] and, with labels, "label" float32 [label_dim] at `position`.

        A pure function of (seed, position): every picture once in each pass over the set.
        """
        number, offset = divmod(position, self.images_per_epoch)
        if self._pass is None or self._pass[0] != number:
            self._pass = number, permutation(self.seed, ORDER_A, number, self.images_per_epoch)
        index = int(self._pass[1][offset])
        image = self._picture("train", index)
        if self.flip and int(counter_random(self.seed, AUGMENT_A, position, 1)[0]) >> 63:
            image = image[:, :, ::-1]
        found = {"image": np.ascontiguousarray(image)}
        if self._labels:
            found["label"] = self._labels.vector(self._values["train"][index])
        return found

    def train_count(self, stream: str = "image") -> int:
        """The number of training pictures."""
        return self._size("train")

    def train_item(self, stream: str, index: int) -> np.ndarray:
        """Training picture `index`, "image" or "label", never mirrored."""
        return self._of(stream, "train", index)

    def held_count(self, stream: str = "image") -> int:
        """The number of test pictures that are not trained on, perhaps 0."""
        return self._size("test")

    def test_count(self, stream: str = "image") -> int:
        """The number of test pictures; of training pictures where the set has no test pictures."""
        return self._size(self._test)

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Test picture `index`: "image" uint8 [C, H, W] or "label" float32 [label_dim]."""
        return self._of(stream, self._test, index)

    def test_name(self, stream: str, index: int) -> str:
        """A name for test picture `index`."""
        return f"{index:05d}"

    def describe(self) -> dict[str, Any]:
        """Plain values for logs and snapshots; `fingerprint` changes with the used pictures."""
        return {
            "kind": type(self).__name__,
            "resolution": list(self.resolution),
            "channels": dict(self.channels),
            "flip": self.flip,
            "train": self.images_per_epoch,
            "test": self._size("test"),
            "labels": self._labels.describe() if self._labels else None,
            "fingerprint": self._fingerprint,
        }

    def _refuse_unless(self, multiple: int, cure: str = "") -> None:
        """Raise ConfigError unless all sides are multiples of `multiple`; `cure`: what to do."""
        if all(side % multiple == 0 for side in self.resolution):
            return
        height, width = (round_up(side, multiple) for side in self.resolution)
        raise ConfigError(
            f"data.resolution={format_size(self.resolution)} does not suit this model, whose "
            "images need "
            f"sides that are multiples of {multiple}: "
            f"{cure or f'use {format_size((height, width))}'}."
        )

    def _of(self, stream: str, split: str, index: int) -> np.ndarray:
        if stream == "label" and self._labels:
            return self._labels.vector(self._values[split][index])
        return np.ascontiguousarray(self._picture(split, index))

    @property
    def _test(self) -> str:
        return "test" if self._size("test") else "train"

    def _size(self, split: str) -> int:
        raise NotImplementedError

    def _picture(self, split: str, index: int) -> np.ndarray:
        """uint8 [C, H, W]."""
        raise NotImplementedError


class InMemoryDataset(ImageDataset):
    """A set that is small enough to lie in memory as uint8 [N, C, H, W] per split."""

    _stacks: dict[str, Stack]

    def __init__(self, seed: int, flip: bool) -> None:
        super().__init__(seed, flip)
        self._stacks = {}

    def _keep(self, images: dict[str, Stack], values: dict[str, Values], limit: int | None) -> None:
        """Pictures and labels, once they are read; the first `limit` for training."""
        self._stacks = {"train": images["train"][:limit], "test": images["test"]}
        self._values = {"train": values["train"][:limit], "test": values["test"]}
        self.images_per_epoch = len(self._stacks["train"])
        facts = hashlib.sha256(repr([s.shape for s in self._stacks.values()]).encode())
        for split in ("train", "test"):
            facts.update(np.ascontiguousarray(self._stacks[split]).data)
            facts.update(np.ascontiguousarray(self._values[split]).data)
        self._fingerprint = facts.hexdigest()[:16]

    def _size(self, split: str) -> int:
        return len(self._stacks.get(split, ()))

    def _picture(self, split: str, index: int) -> np.ndarray:
        return self._stacks[split][index]
