"""What all data sets of single pictures share: order, mirroring, labels."""

import hashlib
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np

from gantrain.data.labels import Labels, Values
from gantrain.data.sampler import AUGMENT_A, ORDER_A, counter_random, permutation
from gantrain.data.transforms import format_size, round_up
from gantrain.errors import ConfigError

Log = Callable[[str], None]
Stack = np.ndarray  # uint8 [N, C, H, W]


class ImageDataset:
    """A set of single pictures "image", perhaps with a "label"; training and test pictures.

    Subclasses set `channels`, `resolution`, `images_per_epoch` and `_labels` (None: unconditional)
    in their constructor, and in `prepare` the labels' `_values` and the `_fingerprint`; they tell
    their pictures by `_picture(split, index)` and `_size(split)` with split "train" or "test".
    """

    kind: ClassVar[Literal["unpaired", "images"]] = "images"
    has_pairs = False
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

    def count(self, split: str) -> int:
        """The number of pictures of "train" or "test"."""
        return self._size(split)

    def picture(self, split: str, index: int) -> np.ndarray:
        """[C, H, W] of picture `index` as `item` has it, never mirrored."""
        return np.ascontiguousarray(self._picture(split, index))

    def label(self, split: str, index: int) -> np.ndarray:
        """float32 [label_dim] of picture `index`."""
        assert self._labels is not None
        return self._labels.vector(self._values[split][index])

    def train_count(self, stream: str = "image") -> int:
        """The number of training pictures."""
        return self._size("train")

    def train_item(self, stream: str, index: int) -> np.ndarray:
        """Training picture `index`, "image" or "label", never mirrored."""
        return self.label("train", index) if stream == "label" else self.picture("train", index)

    def held_count(self, stream: str = "image") -> int:
        """The number of test pictures that are not trained on, perhaps 0."""
        return self._size("test")

    def test_count(self, stream: str = "image") -> int:
        """The number of test pictures; of training pictures where the set has no test pictures."""
        return self._size(self._test)

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Test picture `index`: "image" uint8 [C, H, W] or "label" float32 [label_dim]."""
        if stream == "label" and self._labels:
            return self._labels.vector(self._values[self._test][index])
        return np.ascontiguousarray(self._picture(self._test, index))

    def test_name(self, stream: str, index: int) -> str:
        """A name for test picture `index`."""
        return f"{index:05d}"

    def describe(self) -> dict[str, object]:
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
