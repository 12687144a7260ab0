"""The input of a part, and how it reports its results."""

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
    """A part has nothing to do on this machine; the text says why."""


@dataclass(frozen=True)
class Task:
    """One run of a part.

    Args:
        part: its name.
        module: a module of this package, or the path of a Python file, with `run(task)`.
        device: "cuda" or "cpu".
        quick: whether to use tiny networks and sizes.
        deadline: when the part is ended, by time.time().
        results: the file to which results are appended, a JSON object per line.
        out: folder for images.
        scratch: a temporary folder.
        pack: a .zip or a folder of images; None: there is none.
        variant: what a `child` of the part runs; "": it is the part itself.
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
        """Whether the part runs on a GPU."""
        return self.device == "cuda"

    def left(self) -> float:
        """Return the seconds until the part is ended."""
        return self.deadline - time.time()

    def folder(self, name: str) -> Path:
        """Create a folder in the scratch folder."""
        path = Path(self.scratch, name)
        path.mkdir(parents=True)
        return path

    def pick(self, full: Any, quick: Any) -> Any:
        """Return `full`, or `quick` in a quick run."""
        return quick if self.quick else full

    def check(self, name: str, ok: bool, detail: str = "") -> None:
        """Report a check. A failed check fails the part, which continues."""
        self._write(kind="check", name=name, ok=bool(ok), detail=detail)

    def figure(
        self, name: str, value: Value, unit: str = "", detail: str = "", of: str = ""
    ) -> None:
        """Report a measured value. Figures with the same `of` form a row of a table."""
        if isinstance(value, float):
            value = float(f"{value:.5g}")
        self._write(kind="figure", name=name, value=value, unit=unit, detail=detail, of=of)

    def fact(self, name: str, value: str) -> None:
        """Report a fact for the head of the table."""
        self._write(kind="fact", name=name, value=value)

    def skip(self, reason: str) -> None:
        """Report that the part, or a piece of it, is skipped."""
        self._write(kind="skip", detail=reason)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Run a piece of the part; turn its error into a failed check."""
        try:
            yield
        except Skipped as reason:
            self.skip(f"{name}: {reason}")
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip().splitlines() or [""])[0]
            self.check(name, False, f"{type(error).__name__}: {first}"[:300])

    def child(self, variant: str, seconds: float) -> None:
        """Run a variant of this part in its own process, for at most `seconds`."""
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
            os.killpg(process.pid, signal.SIGKILL)  # a compiler starts helper processes
            process.wait()
            self.check(variant, False, f"not done after {seconds:.0f} s")
            return
        if code:
            self.check(variant, False, f"its process ended with code {code}")

    def command(self) -> list[str]:
        """Return the command for this task. The folder of this package must be in PYTHONPATH."""
        return [sys.executable, "-m", str(__package__), json.dumps(asdict(self))]

    def _write(self, **line: Any) -> None:
        append(Path(self.results), {"part": self.part, **line})


def append(path: Path, line: dict[str, Any]) -> None:
    """Append a line in a single write, so that lines of several processes do not mix.

    If the last line is incomplete, start a new one.
    """
    text = json.dumps(line, default=str) + "\n"
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())


def read(path: Path) -> list[dict[str, Any]]:
    """Return all intact lines, in order."""
    lines = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and {"part", "kind"} <= value.keys():
            lines.append(value)
    return lines
