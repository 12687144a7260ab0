"""Several independent batches of real images in every step."""

import numpy as np

from gantrain.data.loader import Indexable


class IndependentBatches:
    """A data set's items, several at a time.

    Position p holds the items of the positions count * p to count * p + count - 1 of the data set:
    the first one under its own names, the i-th of the others as "i/image", "i/label", ... So a
    batch from here holds `count` batches of the data set, which share no image within an epoch, and
    they are the same however a batch is split over ranks and microbatches.

    Args:
        data: the data set.
        count: items at a time.
    """

    def __init__(self, data: Indexable, count: int) -> None:
        self.data, self.count = data, count

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return the items at a position, a pure function of the position."""
        return {
            f"{i}/{name}" if i else name: x
            for i in range(self.count)
            for name, x in self.data.item(self.count * position + i).items()
        }
