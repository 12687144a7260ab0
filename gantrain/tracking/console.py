"""Reports in the terminal: a live display, or plain lines without a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from gantrain.io.files import open_to_append
from gantrain.io.streams import DetachableStream
from gantrain.tracking.sinks import BaseSink
from gantrain.tracking.tracker import Event

PLAIN_SECONDS = 10.0  # least time between two plain lines
LOGITS = ("real", "fake", "held")
SIGNALS = ("separation", "overfit", "diversity", "copy", "luma", "hidden")


def format_place(nimg: int, total: int, epochs: float | None) -> str:
    """Return how far a training is, such as "0.85/53.4 kimg, epoch 3.2 of 200".

    Args:
        nimg: images so far.
        total: the budget in images.
        epochs: the budget in passes over the data, if it was given so.
    """
    text = f"{nimg / 1000:.2f}/{total / 1000:g} kimg"
    return text if epochs is None else f"{text}, epoch {nimg / total * epochs:.1f} of {epochs:g}"


def format_metrics(place: str, values: dict[str, float]) -> str:
    """Return one line with img/s, losses, learning rate, data wait and memory.

    Args:
        place: how far the training is, such as "1.20/25 kimg"; the start of the line.
        values: a report, by the names in metrics.jsonl.
    """
    losses = [
        f"{name.removeprefix('loss/')} {value:.3g}"
        for name, value in values.items()
        if name.startswith("loss/")
    ]
    parts = [
        place,
        f"{values.get('progress/img_per_sec', 0):.1f} img/s",
        *losses,
        f"lr {values.get('lr/G', 0):.2g}",
        f"data-wait {values.get('progress/data_wait', 0):.0%}",
        f"mem {values.get('resources/memory_gb', 0):.2f} GB",
    ]
    if skipped := values.get("progress/skipped_steps"):
        parts.append(f"SKIPPED {skipped:.0f} non-finite steps")
    return " · ".join(parts)


def format_health(values: dict[str, float]) -> str:
    """Return one line with D's mean logits and the other signals; "" if there are none.

    Args:
        values: a report; its signals are called "health/<probe>/<signal>".
    """
    probes = health_figures(values).items()
    return " · ".join(f"{probe}: {', '.join(figures.values())}" for probe, figures in probes)


def health_figures(values: dict[str, float]) -> dict[str, dict[str, str]]:
    """Return {probe: {signal, or "logits" for D's mean logits: its name and value as a text}}.

    Args:
        values: see `format_health`.
    """
    probes: dict[str, dict[str, float]] = {}
    for key, value in values.items():
        if key.startswith("health/"):
            _, probe, name = key.split("/")
            probes.setdefault(probe, {})[name] = value
    return {probe: _figures(signals) for probe, signals in probes.items()}


def _figures(signals: dict[str, float]) -> dict[str, str]:
    logits = [signals[f"logit_{name}"] for name in LOGITS if f"logit_{name}" in signals]
    labels = "/".join(LOGITS[: len(logits)])
    means = "/".join(f"{value:.2f}" for value in logits)
    others = {name: f"{name} {signals[name]:.2f}" for name in SIGNALS if name in signals}
    return {"logits": f"D {labels} {means}", **others}


def format_alarm(nimg: int, event: Event) -> str:
    """Return one line with level, time, name, text and advice of an alarm."""
    word = "ALARM" if event["level"] == "critical" else "Warning"
    return f"{word} at {nimg / 1000:g} kimg, {event['alarm']}: {event['text']} {event['advice']}"


class PlainLines(BaseSink):
    """Plain lines on a stream and in the run's log file.

    Args:
        stream: the terminal or a file; None: only the log file.
        log: the log file, which is appended to.
        total: the run's budget in images.
        epochs: the budget in passes over the data, if it was given so.
    """

    def __init__(
        self, stream: TextIO | None, log: Path, total: int, epochs: float | None = None
    ) -> None:
        self.stream, self.total = DetachableStream(stream) if stream else None, total
        self.epochs = epochs
        self.log = open_to_append(log)
        self._last_line = 0.0
        self._start: tuple[float, int] | None = None  # time and nimg of the first step

    def progress(self, nimg: int) -> None:
        """Remember the first step, for the time left."""
        if self._start is None:
            self._start = (time.monotonic(), nimg)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Print a line, at most one every `PLAIN_SECONDS`, and always the last one."""
        now = time.monotonic()
        if now - self._last_line >= PLAIN_SECONDS or nimg >= self.total:
            self._last_line = now
            place = format_place(nimg, self.total, self.epochs)
            self.say(f"{format_metrics(place, values)} · ETA {self._eta(now, nimg)}")
        if line := format_health(values):
            self.say(f"  health {line}")

    def event(self, nimg: int, event: Event) -> None:
        """Print the alarm."""
        self.say(format_alarm(nimg, event))

    def _eta(self, now: float, nimg: int) -> str:
        start_time, start_nimg = self._start or (now, nimg)
        if nimg <= start_nimg:
            return "?"
        seconds_per_image = (now - start_time) / (nimg - start_nimg)
        seconds = int(seconds_per_image * max(0, self.total - nimg))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def say(self, text: str) -> None:
        """Print a line."""
        for file in (self.stream, self.log):
            if file is not None:
                print(text, file=file, flush=True)

    def close(self) -> None:
        """Close the log file."""
        self.log.close()


class LiveDisplay(BaseSink):
    """A progress bar with the latest values below it, redrawn a few times a second.

    Args:
        total: the run's budget in images.
        start: images trained by earlier starts of the run.
        console: where to draw; None: standard output.
        epochs: the budget in passes over the data, if it was given so.
    """

    def __init__(
        self,
        total: int,
        start: int = 0,
        console: Console | None = None,
        epochs: float | None = None,
    ) -> None:
        self.console = console or Console(file=cast(TextIO, DetachableStream(sys.stdout)))
        self.bar = Progress(
            TextColumn("[bold]{task.fields[place]}[/]"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self.console,
            speed_estimate_period=60,
        )
        self.total, self.epochs = total, epochs
        place = format_place(start, total, epochs)
        self.task = self.bar.add_task("", total=total, completed=start, place=place)
        self.metrics = Text("the first step, which takes longest ...", style="dim")
        self.health = Text("", style="dim")
        group = Group(self.bar, self.metrics, self.health)
        self.live = Live(group, console=self.console, refresh_per_second=4)
        self.live.start()

    def progress(self, nimg: int) -> None:
        """Move the bar."""
        place = format_place(nimg, self.total, self.epochs)
        self.bar.update(self.task, completed=nimg, place=place)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Show the values below the bar."""
        self.metrics.plain = format_metrics(format_place(nimg, self.total, self.epochs), values)
        if line := format_health(values):
            self.health.plain = f"health {line}"

    def event(self, nimg: int, event: Event) -> None:
        """Print the alarm above the bar, in colour."""
        style = "bold red" if event["level"] == "critical" else "yellow"
        self.console.print(Text(format_alarm(nimg, event), style), soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop redrawing."""
        self.live.stop()


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, nothing elsewhere.

    Yields:
        A function that advances the bar by a number of images.
    """
    columns = (BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = total < 2 or not sys.stdout.isatty()
    with Progress(*columns, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
