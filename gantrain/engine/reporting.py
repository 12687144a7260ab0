"""What the trainer calls: a tracker, an evaluation, a health probe."""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn

Evaluate = Callable[[int, nn.Module], tuple[dict[str, float], bool]]
Probe = Callable[[], dict[str, float]]


class Tracker(Protocol):
    """Interface of what the trainer reports to; `nimg` is the number of images trained on."""

    def progress(self, nimg: int) -> None:
        """Report that a step is done."""

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Report one row of values."""

    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None:
        """Report sample images, uint8 [N, C, H, W] by column; called in a thread of its own."""

    def event(self, nimg: int, event: dict[str, Any]) -> None:
        """Report an alarm."""

    def say(self, text: str) -> None:
        """Report a message for the user."""
