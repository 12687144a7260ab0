"""What all data sets of single pictures share: order, mirroring, labels."""

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np

from gantrain.data.labels import Labels
from gantrain.data.order import AUGMENT_A, ORDER_A, permuted, raw_bits

Log = Callable[[str], None]
Stack = np.ndarray  # uint8 [N, C, H, W]


class SingleImages:
    """A set of single pictures "image", perhaps with a "label"; training and test pictures.

    Subclasses set `channels`, `resolution`, `images_per_epoch` and `_labels` (None: unconditional)
    in their constructor, and in `prepare` the label arrays `_vectors`; they tell their pictures by
    `_picture(split, index)` and `_size(split)` with split "train" or "test".
    """

    kind: ClassVar[Literal["unpaired", "images"]] = "images"
    has_pairs = False
    channels: dict[str, int]
    resolution: tuple[int, int]
    images_per_epoch: int

    def __init__(self, seed: int, flip: bool) -> None:
        self.seed, self.flip = seed, flip
        self._labels: Labels | None = None
        self._vectors: dict[str, np.ndarray] = {}
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
            self._pass = number, permuted(self.seed, ORDER_A, number, self.images_per_epoch)
        index = int(self._pass[1][offset])
        image = self._picture("train", index)
        if self.flip and int(raw_bits(self.seed, AUGMENT_A, position, 1)[0]) >> 63:
            image = image[:, :, ::-1]
        found = {"image": np.ascontiguousarray(image)}
        if self._labels:
            found["label"] = self._vectors["train"][index]
        return found

    def test_count(self, stream: str = "image") -> int:
        """The number of test pictures; of training pictures where the set has no test pictures."""
        return self._size(self._test)

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Test picture `index`: "image" uint8 [C, H, W] or "label" float32 [label_dim]."""
        if stream == "label":
            return self._vectors[self._test][index]
        return np.ascontiguousarray(self._picture(self._test, index))

    def test_name(self, stream: str, index: int) -> str:
        """A name for test picture `index`."""
        return f"{index:05d}"

    def describe(self) -> dict[str, object]:
        """Plain values for logs and snapshots."""
        return {
            "kind": type(self).__name__,
            "resolution": list(self.resolution),
            "channels": dict(self.channels),
            "flip": self.flip,
            "train": self.images_per_epoch,
            "test": self._size("test"),
            "labels": self._labels.describe() if self._labels else None,
        }

    @property
    def _test(self) -> str:
        return "test" if self._size("test") else "train"

    def _size(self, split: str) -> int:
        raise NotImplementedError

    def _picture(self, split: str, index: int) -> np.ndarray:
        """uint8 [C, H, W]."""
        raise NotImplementedError


class StackedImages(SingleImages):
    """A set that is small enough to lie in memory as uint8 [N, C, H, W] per split."""

    _stacks: dict[str, Stack]

    def _keep(self, images: dict[str, Stack], labels: dict[str, np.ndarray]) -> None:
        """After loading; no more training pictures than `images_per_epoch`."""
        self.images_per_epoch = min(self.images_per_epoch, len(images["train"]))
        limit = {"train": self.images_per_epoch}
        self._stacks = {split: stack[: limit.get(split)] for split, stack in images.items()}
        self._vectors = labels

    def _size(self, split: str) -> int:
        return len(self._stacks[split])

    def _picture(self, split: str, index: int) -> np.ndarray:
        return self._stacks[split][index]
