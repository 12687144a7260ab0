"""Reports in a notebook: one output that is redrawn, instead of a line for every report."""

import html
import sys
import time
from typing import Any

from gantrain.tracking.console import format_alarm, format_health, format_metrics, format_place
from gantrain.tracking.sinks import BaseSink
from gantrain.tracking.tracker import Event

SECONDS = 1.0  # least time between two redraws


def in_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel, whose cells show HTML."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class NotebookDisplay(BaseSink):
    """A progress bar with the latest values below it, redrawn in place.

    Args:
        total: the run's budget in images.
        start: images trained by earlier starts of the run.
        epochs: the budget in passes over the data, if it was given so.
    """

    def __init__(self, total: int, start: int = 0, epochs: float | None = None) -> None:
        self.total, self.epochs = total, epochs
        self.nimg, self.metrics, self.health = start, "", ""
        self._output: Any = None  # IPython's handle, from the first step on
        self._drawn = 0.0

    def progress(self, nimg: int) -> None:
        """Move the bar."""
        self.nimg = nimg
        self._draw()

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Show the values below the bar."""
        self.nimg = nimg
        self.metrics = format_metrics(format_place(nimg, self.total, self.epochs), values)
        if line := format_health(values):
            self.health = f"health {line}"
        self._draw()

    def event(self, nimg: int, event: Event) -> None:
        """Print the alarm."""
        self.say(format_alarm(nimg, event))

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def close(self) -> None:
        """Draw what came last."""
        if self._output is not None:
            self._draw(always=True)

    def _draw(self, always: bool = False) -> None:
        now = time.monotonic()
        if not always and now - self._drawn < SECONDS:
            return
        self._drawn = now
        from IPython.display import display

        place = format_place(self.nimg, self.total, self.epochs)
        lines = [line for line in (self.metrics, self.health) if line]
        bar = f'<progress value="{self.nimg}" max="{self.total}" style="width: 50%"></progress>'
        below = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        content = {
            "text/html": f"<div>{bar} {place}</div>{below}",
            "text/plain": "\n".join([place, *lines]),
        }
        if self._output is None:
            self._output = display(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)
