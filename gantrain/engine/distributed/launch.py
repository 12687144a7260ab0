"""`runtime.devices=N`: N ranks on this machine, started and watched by torch's elastic agent."""

import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeVar, cast

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from gantrain.engine import startup
from gantrain.engine.distributed import slurm
from gantrain.engine.distributed.world import RankLost
from gantrain.engine.signals import (
    EXIT_REQUEUE,
    EXIT_STOPPED,
    LAUNCHED,
    Signals,
    defer_signals,
    handle_signals,
)
from gantrain.errors import ConfigError
from gantrain.tracking.console import DetachableStream

T = TypeVar("T")


def launch(count: int, function: Callable[..., T], *args: Any) -> T:
    """`function(*args)` in `count` processes that find their rank in the environment.

    Returns rank 0's result. What went wrong in a rank is told once, here; the other ranks are
    ended with it. Signals are passed on to the ranks.

    Args:
        function: importable, its arguments and result picklable.

    Raises:
        ConfigError: a rank raised it.
        SystemExit: 75 when the ranks stopped early with a good checkpoint, 1 after a failure.
    """
    # listen before the mark is set: only the ranks leave a second Ctrl-C to this process.
    with (
        tempfile.TemporaryDirectory(prefix="gantrain-ranks-") as folder,
        handle_signals() as signals,
    ):
        with _environment(count), _passed_on(signals, Path(folder)):
            try:
                start = elastic_launch(_settings(count, folder), _rank)
                return start(function, args, folder)[0]
            except ChildFailedError as error:
                rank, failure = error.get_first_failure()
                code, reports = failure.exitcode, _reports(Path(folder))
                if code == EXIT_REQUEUE:
                    _tell(slurm.requeue(signals))
        if code in (EXIT_STOPPED, EXIT_REQUEUE):
            raise SystemExit(EXIT_STOPPED)
        if signals.received and code in (-signals.received, 128 + signals.received):
            _tell(f"Stopped by {signals.received.name} before the training began.")
            raise SystemExit(128 + signals.received)
        raise _failure(reports, count, rank, code)


def _tell(text: str) -> None:
    print(text, file=cast(TextIO, DetachableStream(sys.stdout)), flush=True)


def _settings(count: int, folder: str) -> LaunchConfig:
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # we tell it ourselves
    # torch 2.11 has no such setting: there, 30 s for a rank that does not end when told to.
    has_timeout = "shutdown_timeout" in LaunchConfig.__dataclass_fields__
    patience: dict[str, Any] = {"shutdown_timeout": 10} if has_timeout else {}
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="gantrain",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        max_restarts=0,
        start_method="spawn",
        signals_to_handle="",  # they are passed on, see below
        **patience,
    )


def _rank(function: Callable[..., T], args: tuple[Any, ...], folder: str) -> T:
    """In each new process: run, and leave a report if it fails."""
    defer_signals()
    startup.skip_final_gc()
    try:
        for asked in Path(folder).glob("asked-*"):  # before this process was there to hear it
            os.kill(os.getpid(), int(asked.name[6:]))
        return function(*args)
    except ConfigError as error:
        _report(folder, "config", list(error.problems))
        sys.exit(2)
    except RankLost as error:
        _report(folder, "hung" if error.hung else "lost", [str(error)])
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as error:
        if error.code not in (EXIT_STOPPED, EXIT_REQUEUE):
            _report(folder, "said", [])  # whoever raised it has told why
        raise
    except BaseException:
        _report(folder, "error", [traceback.format_exc()])
    # Not through Python's own ending, which may wait for threads of a broken connection.
    os._exit(1)


def _report(folder: str, kind: str, texts: list[str]) -> None:
    rank = os.environ["RANK"]
    content = {"rank": int(rank), "kind": kind, "time": time.time(), "texts": texts}
    temporary = Path(folder) / f"{rank}.tmp"
    temporary.write_text(json.dumps(content))
    temporary.rename(Path(folder) / f"failed-{rank}.json")


def _reports(folder: Path) -> list[dict[str, Any]]:
    """What the ranks left, the earliest first."""
    found = [json.loads(path.read_text()) for path in folder.glob("failed-*.json")]
    return sorted(found, key=lambda report: report["time"])


def _failure(reports: list[dict[str, Any]], count: int, first: int, code: int) -> BaseException:
    """What to raise; says a rank's own fault rather than what the others saw of it.

    Args:
        count: how many ranks there were.
        first: the rank that ended first, with exit code `code`, negative for a signal.
    """
    for report in reports:
        if report["kind"] == "config":
            return ConfigError(*report["texts"])
        if report["kind"] == "error":
            print(f"Rank {report['rank']} failed:\n{report['texts'][0]}", file=sys.stderr)
        if report["kind"] in ("error", "said"):
            return SystemExit(1)
    hung = [report for report in reports if report["kind"] == "hung"]
    if hung and code >= 0:
        print(hung[0]["texts"][0], file=sys.stderr)
        return SystemExit(1)
    silent = [first] if code < 0 else sorted(set(range(count)) - {r["rank"] for r in reports})
    who = ", ".join(map(str, silent or [first]))
    how = signal.Signals(-code).name if code < 0 else "killed"
    print(
        f"Rank {who} ended without a word ({how}; if nobody did that, perhaps the memory was used "
        "up: dmesg tells), and the others with it. The last checkpoint is good: the same command "
        "goes on from it if the run has a name=, else resume=.",
        file=sys.stderr,
    )
    return SystemExit(1)


@contextmanager
def _environment(count: int) -> Iterator[None]:
    """What the ranks inherit: a mark that we started them, and their share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    added = {LAUNCHED: "1"}
    if "OMP_NUM_THREADS" not in os.environ:
        added["OMP_NUM_THREADS"] = str(max(1, (cores or 1) // count))
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _passed_on(signals: Signals, folder: Path) -> Iterator[None]:
    """Hand every signal on to the ranks: not all senders reach them (kill PID, scancel --batch).

    Ranks that are still to be started find it in `folder`. They may see one twice, which changes
    nothing. A second Ctrl-C ends everything at once.
    """
    inner = {number: signal.getsignal(number) for number in signals.actions}

    def pass_on(number: int, frame: FrameType | None) -> None:
        handler = inner[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)  # raises KeyboardInterrupt at the second Ctrl-C
        with suppress(OSError):  # a full disk
            (folder / f"asked-{number}").touch()
        for rank in multiprocessing.active_children():
            if rank.pid and rank.is_alive():
                with suppress(ProcessLookupError):  # it has ended this moment
                    os.kill(rank.pid, number)

    for number in inner:
        signal.signal(number, pass_on)
    yield  # `listen` puts the earlier handlers back
