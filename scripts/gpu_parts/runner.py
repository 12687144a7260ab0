"""Run parts one after another, each in its own process, which is ended with its children."""

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
MIN_SHARE = 0.5  # of the expected time; a part is not started with less
KILL_SECONDS = 10.0  # to wait for a killed process
LOG_LIMIT = 1 << 20  # bytes of a part's output that are kept in the log


@dataclass(frozen=True)
class Part:
    """A part: its name, the seconds that it should take on a GPU, and its module (see `Task`)."""

    name: str
    seconds: float
    module: str


@dataclass(frozen=True)
class Order:
    """The settings of all parts, see `Task`. `minutes` is the budget of all parts."""

    device: str
    quick: bool
    minutes: float
    out: Path
    pack: str | None


def share(expected: Sequence[float], remaining: float) -> float:
    """Return the seconds that the first of the remaining parts may take; 0: it does not fit.

    A part may take its expected time, plus its share of the time that is left over if all parts
    take theirs.

    Args:
        expected: seconds of each remaining part, in order of value.
        remaining: seconds of the budget.
    """
    if remaining < MIN_SHARE * expected[0]:
        return 0.0
    return min(remaining, max(expected[0], remaining * expected[0] / sum(expected)))


class Runner:
    """Runs parts in order, and writes the results to `order.out` as they come.

    Args:
        order: the settings of all parts.
        parts: the parts, in order of value.
        facts: for the head of the table.
    """

    def __init__(self, order: Order, parts: Sequence[Part], facts: dict[str, str]) -> None:
        self.order, self.parts = order, parts
        self.results, self.log = order.out / "result.jsonl", order.out / "log.txt"
        self.stopped: str = ""  # name of the signal
        self._mark = uuid.uuid4().hex
        self._end = time.time() + order.minutes * 60 - 5  # the table is written after it
        for name, value in facts.items():
            append(self.results, {"part": "", "kind": "fact", "name": name, "value": value})

    def run(self) -> bool:
        """Run all parts, and return whether all of them ran and no check failed."""
        before = {
            number: signal.signal(number, self._stop)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_IGN  # under nohup, or in the background
        }
        scratch = Path(tempfile.mkdtemp(prefix="gpu_check-"))
        try:
            for number, part in enumerate(self.parts):
                expected = [other.seconds for other in self.parts[number:]]
                seconds = share(expected, self._end - time.time())
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
        """Write table.md atomically."""
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
        duration = time.monotonic() - begin
        state, detail = self._verdict(part, code, duration)
        tail = _last_lines(self.log, start) if state not in ("passed", "skipped") else []
        _shorten(self.log, start)
        shutil.rmtree(scratch, ignore_errors=True)
        self._note(part, state, duration, seconds, detail, tail)

    def _wait(self, process: subprocess.Popen[bytes], end: float) -> int | None:
        """Return the exit code, or None if the part was still running at its time limit."""
        while not self.stopped and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(min(left, 0.2))
        return process.poll()

    def _verdict(self, part: Part, code: int | None, duration: float) -> tuple[str, str]:
        """Return (state, detail) of a part that has ended."""
        lines = [line for line in read(self.results) if line["part"] == part.name]
        if code is None:
            if self.stopped:
                return "stopped", f"stopped by {self.stopped} after {duration:.0f} s"
            return "timed out", f"timed out after {duration:.0f} s"
        if code < 0:
            return "failed", f"crashed with {signal.Signals(-code).name}"
        if code:
            return "failed", f"ended with code {code}"
        if bad := sum(line["kind"] == "check" and not line["ok"] for line in lines):
            return "failed", f"{bad} of its checks failed"
        kinds = {line["kind"] for line in lines}
        if kinds & {"check", "figure"}:
            return "passed", ""
        reasons = [line["detail"] for line in lines if line["kind"] == "skip"]
        return ("skipped", reasons[0]) if reasons else ("failed", "it reported nothing")

    def _note(
        self,
        part: Part,
        state: str,
        duration: float = 0,
        limit: float = 0,
        detail: str = "",
        tail: Sequence[str] = (),
    ) -> None:
        line = {"state": state, "seconds": round(duration, 1), "limit": round(limit, 1)}
        note = {"part": part.name, "kind": "part", **line, "detail": detail, "tail": [*tail]}
        append(self.results, note)
        suffix = f", {detail}" if detail else ""
        print(f"{part.name}: {state} ({duration:.0f} s){suffix}", flush=True)

    def _environment(self, scratch: Path) -> dict[str, str]:
        """Return the environment of a part: absolute paths, and a cache in its scratch folder."""
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [str(ROOT), str(ROOT / "scripts"), *(os.path.abspath(p) for p in inherited if p)]
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
        """Kill the part and all processes that it has started, also in other sessions."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for _ in range(5):  # a process may start another while the list is read
            pids = _marked_processes(f"{MARK}={self._mark}".encode())
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_SECONDS)  # a process that waits for a driver cannot be killed


def _marked_processes(mark: bytes) -> list[int]:
    """Return the processes that were started with `mark` in the environment; [] without /proc."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                pids.append(int(folder.name))
    return pids


def _last_lines(log: Path, start: int, count: int = 12) -> list[str]:
    """Return the last lines of a part's output."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(start, file.tell() - 8192))
        lines = file.read().decode(errors="replace").splitlines()
    return [line[:300] for line in lines if line.strip()][-count:]


def _shorten(log: Path, start: int) -> None:
    """Cut the middle out of a part's output if it is too long."""
    content = log.read_bytes()
    if len(content) - start <= LOG_LIMIT:
        return
    half = LOG_LIMIT // 2
    cut = b"\n... (cut here) ...\n"
    log.write_bytes(content[: start + half] + cut + content[-half:])


def python() -> str:
    """Return the version and the path of this Python."""
    return f"{sys.version.split()[0]} ({sys.executable})"
