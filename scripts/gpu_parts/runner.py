"""Parts one after the other, each in a process of its own that is ended with its children."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from . import table
from .task import Task, append, read

ROOT = Path(__file__).resolve().parents[2]
MARK = "GPU_CHECK_MARK"  # in the environment of everything a part starts
LEAST = 0.5  # of the wanted time; with less a part is not begun
ENDING = 10.0  # seconds that a killed process is waited for
LOG_LIMIT = 1 << 20  # bytes that one part may leave in the log


@dataclass(frozen=True)
class Part:
    """`seconds`: what it is expected to take on a card; `module`: see `Task`."""

    name: str
    seconds: float
    module: str


@dataclass(frozen=True)
class Order:
    """What is asked of all parts: see `Task`. `minutes` is the budget of all together."""

    device: str
    quick: bool
    minutes: float
    out: Path
    pack: str | None


def share(wanted: Sequence[float], left: float) -> float:
    """Seconds that the first of the remaining parts may take; 0: it does not fit any more.

    wanted: seconds of each remaining part, in order of value; left: seconds of the budget. A part
    may take what it wants, and its share of what is left over when all of them have that.
    """
    if left < LEAST * wanted[0]:
        return 0.0
    return min(left, max(wanted[0], left * wanted[0] / sum(wanted)))


class Runner:
    """Runs `parts` in order; the results grow in `order.out` while it does."""

    def __init__(self, order: Order, parts: Sequence[Part], facts: dict[str, str]) -> None:
        self.order, self.parts = order, parts
        self.results, self.log = order.out / "result.jsonl", order.out / "log.txt"
        self.stopped: str = ""  # by which signal
        self._mark = uuid.uuid4().hex
        self._end = time.time() + order.minutes * 60 - 5  # the table is written after it
        for name, value in facts.items():
            append(self.results, {"part": "", "kind": "fact", "name": name, "value": value})

    def run(self) -> bool:
        """Run everything; whether all of it ran and no check failed."""
        before = {
            number: signal.signal(number, self._stop)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_IGN  # under nohup, or in the background
        }
        scratch = Path(tempfile.mkdtemp(prefix="gpu_check-"))
        try:
            for number, part in enumerate(self.parts):
                wanted = [other.seconds for other in self.parts[number:]]
                seconds = share(wanted, self._end - time.time())
                if self.stopped:
                    self._note(part, "not run", detail=f"stopped by {self.stopped}")
                elif seconds:
                    self._run(part, seconds, scratch / part.name)
                else:
                    self._note(part, "not run", detail="no time left")
                self.write_table()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            for number, handler in before.items():
                signal.signal(number, handler)
        states = [line["state"] for line in read(self.results) if line["kind"] == "part"]
        return len(states) == len(self.parts) and {*states} <= {"passed", "skipped"}

    def write_table(self) -> None:
        """table.md anew, whole or not at all."""
        path = self.order.out / "table.md"
        new = path.with_suffix(".new")
        new.write_text(table.markdown(read(self.results)))
        new.replace(path)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = signal.Signals(number).name

    def _run(self, part: Part, seconds: float, scratch: Path) -> None:
        scratch.mkdir(parents=True)
        task = Task(
            part=part.name,
            module=part.module,
            device=self.order.device,
            quick=self.order.quick,
            deadline=time.time() + seconds,
            results=str(self.results),
            out=str(self.order.out),
            scratch=str(scratch),
            pack=self.order.pack,
        )
        print(f"{part.name}: at most {seconds:.0f} s", flush=True)
        begin = time.monotonic()
        with self.log.open("ab") as log:
            log.write(f"\n==== {part.name}\n".encode())
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                task.command(),
                cwd=scratch,
                env=self._environment(scratch),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = self._wait(process, begin + seconds)
            self._end_all(process)
        took = time.monotonic() - begin
        state, detail = self._verdict(part, code, took)
        tail = _last_lines(self.log, start) if state not in ("passed", "skipped") else []
        _shorten(self.log, start)
        shutil.rmtree(scratch, ignore_errors=True)
        self._note(part, state, took, seconds, detail, tail)

    def _wait(self, process: subprocess.Popen[bytes], end: float) -> int | None:
        """The exit code; None: it was still running when its time was over, or all was stopped."""
        while not self.stopped and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(min(left, 0.2))
        return process.poll()

    def _verdict(self, part: Part, code: int | None, took: float) -> tuple[str, str]:
        """(state, detail) of a part that has ended."""
        lines = [line for line in read(self.results) if line["part"] == part.name]
        if code is None:
            if self.stopped:
                return "stopped", f"stopped by {self.stopped} after {took:.0f} s"
            return "timed out", f"timed out after {took:.0f} s"
        if code < 0:
            return "failed", f"crashed with {signal.Signals(-code).name}"
        if code:
            return "failed", f"ended with code {code}"
        if bad := sum(line["kind"] == "check" and not line["ok"] for line in lines):
            return "failed", f"{bad} of its checks failed"
        found = {line["kind"] for line in lines}
        if found & {"check", "figure"}:
            return "passed", ""
        why = [line["detail"] for line in lines if line["kind"] == "skip"]
        return ("skipped", why[0]) if why else ("failed", "it reported nothing")

    def _note(
        self,
        part: Part,
        state: str,
        took: float = 0,
        limit: float = 0,
        detail: str = "",
        tail: Sequence[str] = (),
    ) -> None:
        line = {"state": state, "seconds": round(took, 1), "limit": round(limit, 1)}
        note = {"part": part.name, "kind": "part", **line, "detail": detail, "tail": [*tail]}
        append(self.results, note)
        print(f"{part.name}: {state} ({took:.0f} s){f', {detail}' if detail else ''}", flush=True)

    def _environment(self, scratch: Path) -> dict[str, str]:
        """Absolute paths, since parts work in folders of their own; caches that go with them."""
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [str(ROOT), str(ROOT / "scripts"), *(os.path.abspath(p) for p in given if p)]
        own = {
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "GANTRAIN_CACHE": str(scratch / "cache"),
            MARK: self._mark,
        }
        if self.order.device == "cpu":  # the tensors are tiny: see tests/conftest.py
            own |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own}

    def _end_all(self, process: subprocess.Popen[bytes]) -> None:
        """End the part and whatever it has started, in whatever session that is by now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for _ in range(5):  # one may start another while the list is read
            found = _marked(f"{MARK}={self._mark}".encode())
            if not found:
                break
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDING)  # a process that waits for a driver cannot be killed


def _marked(mark: bytes) -> list[int]:
    """Processes with `mark` in the environment they were started with; [] without a /proc."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def _last_lines(log: Path, start: int, count: int = 12) -> list[str]:
    """The end of what a part has printed."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(start, file.tell() - 8192))
        lines = file.read().decode(errors="replace").splitlines()
    return [line[:300] for line in lines if line.strip()][-count:]


def _shorten(log: Path, start: int) -> None:
    """Keep both ends of what a part has printed, if it was too much."""
    content = log.read_bytes()
    if len(content) - start <= LOG_LIMIT:
        return
    half = LOG_LIMIT // 2
    cut = b"\n... (cut here) ...\n"
    log.write_bytes(content[: start + half] + cut + content[-half:])


def python() -> str:
    """Version and place of this Python."""
    return f"{sys.version.split()[0]} ({sys.executable})"
