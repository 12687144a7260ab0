"""The one place the engine reports to, and the sinks behind it."""

from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from gantrain.io.files import kimg_label
from gantrain.tracking.grids import compose_grid, save_png

Event = dict[str, Any]  # alarm, level ("warning" or "critical"), where, text, advice


class Sink(Protocol):
    """Something that shows or stores reports. nimg counts images."""

    def progress(self, nimg: int) -> None: ...
    def scalars(self, nimg: int, values: dict[str, float]) -> None: ...
    def grid(self, nimg: int, image: Image.Image) -> None: ...
    def event(self, nimg: int, event: Event) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class Tracker:
    """Hands every report to every sink; grids also become PNG files in `grids`."""

    def __init__(self, sinks: list[Sink], grids: Path) -> None:
        self.sinks, self.grids = sinks, grids

    def progress(self, nimg: int) -> None:
        """After every step."""
        for sink in self.sinks:
            sink.progress(nimg)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Once a tick: named means."""
        for sink in self.sinks:
            sink.scalars(nimg, values)

    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None:
        """Pictures, see `compose_grid`."""
        image = compose_grid(columns)
        save_png(self.grids / f"grid-{kimg_label(nimg)}.png", image)
        for sink in self.sinks:
            sink.grid(nimg, image)

    def event(self, nimg: int, event: Event) -> None:
        """Something that a person should know."""
        for sink in self.sinks:
            sink.event(nimg, event)

    def say(self, text: str) -> None:
        """A line for people."""
        for sink in self.sinks:
            sink.say(text)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()
