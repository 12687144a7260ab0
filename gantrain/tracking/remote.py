"""Reports to a tracking service, which may be slow or fail: the training goes on."""

import json
import queue
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from gantrain.errors import counted
from gantrain.io.files import atomic_write
from gantrain.tracking.sinks import BaseSink
from gantrain.tracking.tracker import Event

LONGEST_REASON = 200  # characters of another package's message
MAX_PENDING = 1000  # reports that wait for a slow service; later ones are dropped and counted
SECONDS_AT_END = 60.0  # in which it may take what is pending


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, or its type."""
    line = (str(error).splitlines() or [""])[0] or type(error).__name__
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."


class Service(Protocol):
    """A run of a tracking service. Its methods may raise anything."""

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Store a report."""
        ...

    def grid(self, nimg: int, image: Image.Image) -> None:
        """Store a sample grid."""
        ...

    def event(self, nimg: int, event: Event) -> None:
        """Store an alarm."""
        ...

    def end(self, error: BaseException | None) -> None:
        """Close the run: finished (None), stopped (SystemExit), or failed."""
        ...


class ServiceRecord:
    """What a service has got of a run, in a file of the run directory.

    A resumed run goes on under the same id and sends nothing twice.

    Args:
        path: the file.
        place: where the service stores the run, such as its address. Somewhere else, it is new.

    Attributes:
        id: of the run at the service; None: it has none yet.
        sent: {kind of report: images of the last one that was sent}.
    """

    def __init__(self, path: Path, place: dict[str, Any]) -> None:
        self.path, self.place = path, place
        self.id: str | None = None
        self.sent: dict[str, int] = {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["place"] == place:
                sent = {kind: int(nimg) for kind, nimg in content["sent"].items()}
                self.id, self.sent = str(content["id"]), sent
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass  # none yet, or damaged: a new run of the service

    def save(self) -> None:
        """Write the file."""
        content = {"id": self.id, "place": self.place, "sent": self.sent}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as file:
            file.write(json.dumps(content).encode())


class RemoteSink(BaseSink):
    """Sends reports to a service from a thread of its own.

    The first failure is said once, and ends the sending of this start.

    Args:
        name: of the service, for sentences.
        service: the run of the service.
        record: what it has got.
        say: shows a sentence; called in the thread that trains.
        history: reports of earlier starts. Those it has not got are sent first.
    """

    def __init__(
        self,
        name: str,
        service: Service,
        record: ServiceRecord,
        say: Callable[[str], None],
        history: Iterable[dict[str, Any]] = (),
    ) -> None:
        self.name, self.service, self.record, self._say = name, service, record, say
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(MAX_PENDING)
        self._failure: str | None = None
        self._has_said_failure = False
        self._dropped = 0
        self._history = list(history)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Send a report."""
        report = dict(values)  # as it is now
        self._submit("scalars", nimg, lambda: self.service.scalars(nimg, report))

    def grid(self, nimg: int, image: Image.Image) -> None:
        """Send a sample grid."""
        self._submit("grid", nimg, lambda: self.service.grid(nimg, image))

    def event(self, nimg: int, event: Event) -> None:
        """Send an alarm."""
        kind = f"{event['alarm']} {event['where']}"  # several may fire at once
        self._submit(kind, nimg, lambda: self.service.event(nimg, event))

    def progress(self, nimg: int) -> None:
        """Say what went wrong in the thread."""
        if self._failure and not self._has_said_failure:
            self._has_said_failure = True
            self._say(
                f"{self.name} failed ({self._failure}) and gets no more reports of this start. "
                "The training goes on, and metrics.jsonl has all of them."
            )

    def end(self, error: BaseException | None) -> None:
        """Close the run at the service, which has a minute to take what is pending."""
        try:
            self._jobs.put(lambda: self.service.end(error), timeout=SECONDS_AT_END)
            self._jobs.put(None, timeout=SECONDS_AT_END)
        except queue.Full:
            pass
        self._thread.join(SECONDS_AT_END)
        self.progress(0)
        if self._thread.is_alive():
            self._say(
                f"{self.name} has not taken {counted(self._jobs.qsize(), 'report')} in "
                f"{SECONDS_AT_END:.0f} seconds: they are left out there. metrics.jsonl has them."
            )
        if self._dropped:
            self._say(
                f"{self.name} was slower than the training: {counted(self._dropped, 'report')} "
                "were left out there. metrics.jsonl has all of them."
            )

    def _submit(self, kind: str, nimg: int, send: Callable[[], None]) -> None:
        if self._failure:
            return
        try:
            self._jobs.put_nowait(lambda: self._send_once(kind, nimg, send))
        except queue.Full:
            self._dropped += 1

    def _send_once(self, kind: str, nimg: int, send: Callable[[], None]) -> None:
        last = self.record.sent.get(kind)
        if self._failure or (last is not None and nimg <= last):
            return
        # Before it is sent: a process that is killed in between leaves a gap, not a double step.
        self.record.sent[kind] = nimg
        self.record.save()
        try:
            send()
        except Exception:
            self.record.sent.pop(kind) if last is None else self.record.sent.update({kind: last})
            self.record.save()
            raise

    def _send_history(self) -> None:
        for row in self._history:
            values = {name: float(x) for name, x in row.items() if isinstance(x, int | float)}
            nimg = int(values.pop("nimg"))
            self._send_once("scalars", nimg, lambda n=nimg, v=values: self.service.scalars(n, v))
        self._history.clear()

    def _run(self) -> None:
        job: Callable[[], None] | None = self._send_history
        while job:
            try:
                job()
            except Exception as error:
                self._failure = self._failure or reason(error)
            job = self._jobs.get()
