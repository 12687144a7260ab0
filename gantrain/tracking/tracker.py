"""The tracker, which passes the engine's reports on to sinks."""

from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from gantrain.io.files import kimg_label
from gantrain.tracking.grids import compose_grid, save_png

Event = dict[str, Any]  # alarm, level ("warning" or "critical"), where, text, advice


class Sink(Protocol):
    """Shows or stores reports; `nimg` is the number of images trained so far."""

    def progress(self, nimg: int) -> None:
        """Note the end of a step."""
        ...

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Show or store the means of a tick, by name."""
        ...

    def grid(self, nimg: int, image: Image.Image) -> None:
        """Show or store a sample grid."""
        ...

    def event(self, nimg: int, event: Event) -> None:
        """Show or store an alarm."""
        ...

    def say(self, text: str) -> None:
        """Show a message to the user."""
        ...

    def end(self, error: BaseException | None) -> None:
        """Note how the training ended, while the other sinks still show messages."""
        ...

    def close(self) -> None:
        """Release files and the terminal at the end of a run."""
        ...


class Tracker:
    """Passes every report on to every sink.

    Args:
        sinks: receive the reports, in this order.
        grids: folder for the PNG files of sample grids.

    Attributes:
        rows: names of the rows of grids; []: none.
        show: bands of images with more than 3 that grids show, from 1; None: the first three.
    """

    def __init__(self, sinks: list[Sink], grids: Path) -> None:
        self.sinks, self.grids = sinks, grids
        self.rows: list[str] = []
        self.show: list[int] | None = None

    def progress(self, nimg: int) -> None:
        """Report the end of a step."""
        for sink in self.sinks:
            sink.progress(nimg)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Report the means of a tick, by name."""
        for sink in self.sinks:
            sink.scalars(nimg, values)

    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None:
        """Compose a sample grid, save it as a PNG and report it. May run in a thread of its own.

        Args:
            nimg: images trained so far.
            columns: see `compose_grid`.
        """
        image = compose_grid(columns, self.rows, self.show)
        save_png(self.grids / f"grid-{kimg_label(nimg)}.png", image)
        for sink in self.sinks:
            sink.grid(nimg, image)

    def event(self, nimg: int, event: Event) -> None:
        """Report an alarm."""
        for sink in self.sinks:
            sink.event(nimg, event)

    def say(self, text: str) -> None:
        """Pass a message for the user on to every sink."""
        for sink in self.sinks:
            sink.say(text)

    def close(self, error: BaseException | None = None) -> None:
        """Close every sink.

        Args:
            error: what ended the training; None: it is finished.
        """
        for sink in self.sinks:
            sink.end(error)
        for sink in self.sinks:
            sink.close()
