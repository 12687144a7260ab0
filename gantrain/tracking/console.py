"""A run in the terminal: a live display, or plain lines where there is no terminal."""

import os
import sys
import time
from pathlib import Path
from typing import TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from gantrain.tracking.sinks import BaseSink
from gantrain.tracking.tracker import Event

PLAIN_SECONDS = 10.0  # plain lines come no faster
KINDS = ("real", "fake", "held")  # of logits
SIGNALS = ("separation", "overfit", "diversity", "copy", "luma", "hidden")


class DetachableStream:
    """A stream for people whose other end may go: a terminal that is closed, a pipe that Ctrl-C
    ends with us. What is written from then on is lost, and training goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError:
            self._lose()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            self._lose()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def _lose(self) -> None:
        # The stream still holds what it could not write, and would fail at Python's end once more.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.stream.fileno())
        os.close(nothing)


def format_metrics(nimg: int, values: dict[str, float]) -> str:
    """One line: kimg, img/s, losses, learning rate, data wait, memory."""
    losses = [
        f"{name.removeprefix('loss/')} {value:.3g}"
        for name, value in values.items()
        if name.startswith("loss/")
    ]
    parts = [
        f"{nimg / 1000:.2f} kimg",
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
    """One line about the newest probe: D's mean logits and the other signals; "" without one."""
    places: dict[str, dict[str, float]] = {}
    for key, value in values.items():
        if key.startswith("health/"):
            _, place, name = key.split("/")
            places.setdefault(place, {})[name] = value
    return " · ".join(f"{place}: {_signals(found)}" for place, found in places.items())


def _signals(found: dict[str, float]) -> str:
    logits = [found[f"logit_{kind}"] for kind in KINDS if f"logit_{kind}" in found]
    told = "/".join(f"{value:.2f}" for value in logits)
    rest = [f"{name} {found[name]:.2f}" for name in SIGNALS if name in found]
    return ", ".join([f"D {'/'.join(KINDS[: len(logits)])} {told}", *rest])


def format_alarm(nimg: int, event: Event) -> str:
    """What a person reads of an event."""
    word = "ALARM" if event["level"] == "critical" else "Warning"
    return f"{word} at {nimg / 1000:g} kimg, {event['alarm']}: {event['text']} {event['advice']}"


class PlainLines(BaseSink):
    """Plain lines to a stream and to the run's log file."""

    def __init__(self, stream: TextIO | None, log: Path, total: int) -> None:
        self.stream, self.total = DetachableStream(stream) if stream else None, total
        self.log = log.open("a", encoding="utf-8")
        self._last = 0.0
        self._begin: tuple[float, int] | None = None

    def progress(self, nimg: int) -> None:
        if self._begin is None:
            self._begin = (time.monotonic(), nimg)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS or nimg >= self.total:
            self._last = now
            self.say(f"{format_metrics(nimg, values)} · ETA {self._eta(now, nimg)}")
        if line := format_health(values):
            self.say(f"  health {line}")

    def event(self, nimg: int, event: Event) -> None:
        self.say(format_alarm(nimg, event))

    def _eta(self, now: float, nimg: int) -> str:
        begin, first = self._begin or (now, nimg)
        if nimg <= first:
            return "?"
        seconds = int((now - begin) / (nimg - first) * max(0, self.total - nimg))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def say(self, text: str) -> None:
        for file in (self.stream, self.log):
            if file is not None:
                print(text, file=file, flush=True)

    def close(self) -> None:
        self.log.close()


class LiveDisplay(BaseSink):
    """A progress bar with the latest numbers under it, redrawn a few times a second."""

    def __init__(self, total: int, start: int = 0, console: Console | None = None) -> None:
        self.console = console or Console(file=cast(TextIO, DetachableStream(sys.stdout)))
        self.bar = Progress(
            TextColumn("[bold]{task.fields[kimg]}[/] kimg"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self.console,
            speed_estimate_period=60,
        )
        self.task = self.bar.add_task("", total=total, completed=start, kimg=_kimg(start, total))
        self.total = total
        self.numbers = Text("starting ...", style="dim")
        self.health = Text("", style="dim")
        shown = Group(self.bar, self.numbers, self.health)
        self.live = Live(shown, console=self.console, refresh_per_second=4)
        self._running = False

    def progress(self, nimg: int) -> None:
        if not self._running:
            self.live.start()
            self._running = True
        self.bar.update(self.task, completed=nimg, kimg=_kimg(nimg, self.total))

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        self.numbers.plain = format_metrics(nimg, values)
        if line := format_health(values):
            self.health.plain = f"health {line}"

    def event(self, nimg: int, event: Event) -> None:
        style = "bold red" if event["level"] == "critical" else "yellow"
        self.console.print(Text(format_alarm(nimg, event), style), soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._running:
            self.live.stop()
            self._running = False


def _kimg(nimg: int, total: int) -> str:
    return f"{nimg / 1000:.2f}/{total / 1000:g}"
