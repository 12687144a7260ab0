"""The batches of a training, fetched so that neither a signal nor an error loses the state."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from gantrain.engine.signals import Interrupted
from gantrain.errors import ConfigError
from gantrain.gans.base import Batch
from gantrain.ops.value_range import to_float

Interruptible = Callable[[], AbstractContextManager[object]]


class Feed:
    """Fetches one batch at a time and holds it, or the error in its place, until it is taken.

    All ranks can so vote on how to go on before any of them takes the step.

    Args:
        batches: (nimg) -> endless batches from that image on.

    Attributes:
        error: why the latest fetch failed; None if it did not.
    """

    def __init__(self, batches: Callable[[int], Iterator[dict[str, Tensor]]]) -> None:
        self._batches = batches
        self._stream: Iterator[dict[str, Tensor]] | None = None
        self._batch: dict[str, Tensor] | None = None
        self.error: Exception | None = None

    def fetch(self, nimg: int, interruptible: Interruptible) -> None:
        """Wait for the batch that begins at `nimg` images, unless one is held already.

        Args:
            nimg: the images trained on.
            interruptible: () -> the context in which a signal raises Interrupted. The batch is
                then missing, and fetched again by the next call.
        """
        if self._batch is not None:
            return
        try:
            if self._stream is None:
                self._stream = self._batches(nimg)  # starts processes: not to be interrupted
            with interruptible():
                self._batch = next(self._stream)
        except Interrupted:
            self.close()
        except OSError as error:
            self.error = ConfigError(f"The training images cannot be read any more ({error}).")
        except Exception as error:
            self.error = error

    def take(self) -> dict[str, Tensor]:
        """Return the held batch, and forget it."""
        batch, self._batch = self._batch, None
        # A fetch was interrupted only by a signal that asks for more than to continue.
        assert batch is not None
        return batch

    def raise_error(self) -> None:
        """Raise the error of the latest fetch, if there is one."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """End the data workers now; otherwise they would live until the garbage collection."""
        stream, self._stream = self._stream, None
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def to_device(
    images: dict[str, Tensor], device: torch.device, layout: torch.memory_format
) -> Batch:
    """Move a batch to a device, with images [N, C, H, W] as floats in [-1, 1].

    Args:
        images: images, of any dtype of `to_float`, and labels [N, label_dim].
        device: where to.
        layout: the memory format of images.
    """
    # As uint8, a quarter of the bytes; the device makes floats of them.
    moved = {name: x.to(device, non_blocking=True) for name, x in images.items()}
    return {
        name: to_float(x).contiguous(memory_format=layout) if x.dim() == 4 else x
        for name, x in moved.items()  # labels have two dimensions and stay as they are
    }
