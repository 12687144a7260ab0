"""What a part is given, and how it reports."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

Value = float | int | str | None


class Skipped(Exception):
    """There is nothing for a part to do here; the text says why."""


@dataclass(frozen=True)
class Task:
    """One part's run.

    Args:
        module: a module of this package, or the path of a Python file; with `run(task)`.
        device: "cuda" or "cpu".
        quick: tiny networks and sizes.
        deadline: when the part is ended, in seconds of time.time().
        results: the file that reports are appended to, a JSON object a line.
        out: folder for pictures; scratch: folder of the part's own, removed afterwards.
        pack: a .zip or a folder of pictures.
        variant: which of a part's pieces a `child` is to run; "": the part itself.
    """

    part: str
    module: str
    device: str
    quick: bool
    deadline: float
    results: str
    out: str
    scratch: str
    pack: str | None = None
    variant: str = ""

    @property
    def on_cuda(self) -> bool:
        return self.device == "cuda"

    def left(self) -> float:
        """Seconds until the part is ended."""
        return self.deadline - time.time()

    def folder(self, name: str) -> Path:
        """A new folder in the part's own."""
        path = Path(self.scratch, name)
        path.mkdir(parents=True)
        return path

    def pick(self, full: Any, quick: Any) -> Any:
        """The first on a card, the second in a rehearsal."""
        return quick if self.quick else full

    def check(self, name: str, ok: bool, detail: str = "") -> None:
        """Something that must hold. A failed one fails the part, which goes on."""
        self._write(kind="check", name=name, ok=bool(ok), detail=detail)

    def figure(
        self, name: str, value: Value, unit: str = "", detail: str = "", of: str = ""
    ) -> None:
        """Something measured. Figures with the same `of` make one row of a table."""
        if isinstance(value, float):
            value = float(f"{value:.5g}")
        self._write(kind="figure", name=name, value=value, unit=unit, detail=detail, of=of)

    def fact(self, name: str, value: str) -> None:
        """A circumstance for the head of the table."""
        self._write(kind="fact", name=name, value=value)

    def skip(self, why: str) -> None:
        """A piece of the part that has nothing to do here."""
        self._write(kind="skip", detail=why)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """A piece that may fail without the part: its error becomes a failed check."""
        try:
            yield
        except Skipped as why:
            self.skip(f"{name}: {why}")
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip().splitlines() or [""])[0]
            self.check(name, False, f"{type(error).__name__}: {first}"[:300])

    def child(self, variant: str, seconds: float) -> None:
        """Run `variant` of this part in a process of its own, for at most so many seconds."""
        seconds = min(seconds, self.left() - 2)
        if seconds < 5:
            self.skip(f"{variant}: no time left")
            return
        scratch = self.folder(variant.replace(" ", "_"))
        task = replace(self, variant=variant, deadline=time.time() + seconds, scratch=str(scratch))
        process = subprocess.Popen(task.command(), start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # a compiler has helpers
            process.wait()
            self.check(variant, False, f"not done after {seconds:.0f} s")
            return
        if code:
            self.check(variant, False, f"its process ended with code {code}")

    def command(self) -> list[str]:
        """What runs this task; this package's folder must be in PYTHONPATH."""
        return [sys.executable, "-m", str(__package__), json.dumps(asdict(self))]

    def _write(self, **line: Any) -> None:
        append(Path(self.results), {"part": self.part, **line})


def append(path: Path, line: dict[str, Any]) -> None:
    """One line in one write, so that the lines of several processes do not mix.

    Begins a new line where the last one was torn.
    """
    text = json.dumps(line, default=str) + "\n"
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines, in order; what is torn is passed over."""
    found = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and {"part", "kind"} <= value.keys():
            found.append(value)
    return found
