"""`runtime.devices=N`: start N ranks on this machine and watch them with torch's elastic agent."""

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
from gantrain.errors import ConfigError, RunError
from gantrain.io import processes
from gantrain.io.cores import available_cores
from gantrain.io.streams import DetachableStream, escape_unprintable

T = TypeVar("T")


def launch(count: int, function: Callable[..., T], *args: Any) -> T:
    """Run `function(*args)` in `count` processes that find their rank in the environment.

    If a rank fails, its error is reported once and the other ranks are ended. Signals are forwarded
    to the ranks.

    Args:
        count: the number of ranks.
        function: an importable function.
        args: its picklable arguments.

    Returns:
        The result of rank 0, which must be picklable.

    Raises:
        ConfigError: a rank raised it.
        SystemExit: 75 when the ranks stopped early with an intact checkpoint, 1 after a failure.
    """
    # Handle signals before LAUNCHED is set: only the ranks leave a second Ctrl-C to this process.
    with (
        tempfile.TemporaryDirectory(prefix="gantrain-ranks-") as folder,
        handle_signals() as signals,
    ):
        with _rank_environment(count), _forward_signals(signals, Path(folder)):
            try:
                start = elastic_launch(_launch_config(count, folder), _run_rank)
                return start(function, args, folder)[0]
            except ChildFailedError as error:
                rank, failure = error.get_first_failure()
                # Read before the folder is deleted.
                code, reports = failure.exitcode, _read_reports(Path(folder))
                if code == EXIT_REQUEUE:
                    _print_line(slurm.requeue(signals))
        if code in (EXIT_STOPPED, EXIT_REQUEUE):
            raise SystemExit(EXIT_STOPPED)
        if signals.received and code in (-signals.received, 128 + signals.received):
            _print_line(f"Stopped by {signals.received.name} before the training began.")
            raise SystemExit(128 + signals.received)
        raise _failure(reports, count, rank, code)


def _print_line(text: str) -> None:
    print(text, file=cast(TextIO, DetachableStream(sys.stdout)), flush=True)


def _launch_config(count: int, folder: str) -> LaunchConfig:
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # `_failure` reports instead
    # torch 2.11 lacks this setting: there, a rank that ignores SIGTERM is killed after 30 s.
    has_timeout = "shutdown_timeout" in LaunchConfig.__dataclass_fields__
    timeout: dict[str, Any] = {"shutdown_timeout": 10} if has_timeout else {}
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
        signals_to_handle="",  # `_forward_signals` forwards them instead
        **timeout,
    )


def _run_rank(function: Callable[..., T], args: tuple[Any, ...], folder: str) -> T:
    """Run the function in a new process; leave a report in `folder` if it fails."""
    defer_signals()
    startup.skip_final_gc()
    escape_unprintable(sys.stdout)
    try:
        # Signals that arrived before this process could receive them
        for file in Path(folder).glob("signal-*"):
            processes.signal_self(int(file.name.removeprefix("signal-")))
        return function(*args)
    except ConfigError as error:
        kind = "run" if isinstance(error, RunError) else "config"
        _write_report(folder, kind, list(error.problems))
        sys.exit(2)
    except RankLost as error:
        _write_report(folder, "hung" if error.hung else "lost", [str(error)])
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as error:
        if error.code not in (EXIT_STOPPED, EXIT_REQUEUE):
            _write_report(folder, "reported", [])  # the raising code has printed why
        raise
    except BaseException:
        _write_report(folder, "error", [traceback.format_exc()])
    # A normal exit may wait for threads of a broken connection.
    os._exit(1)


def _write_report(folder: str, kind: str, texts: list[str]) -> None:
    rank = os.environ["RANK"]
    content = {"rank": int(rank), "kind": kind, "time": time.time(), "texts": texts}
    temporary = Path(folder) / f"{rank}.tmp"
    temporary.write_bytes(json.dumps(content).encode())
    # Renamed when complete: the rank may be killed while it writes.
    temporary.rename(Path(folder) / f"failed-{rank}.json")


def _read_reports(folder: Path) -> list[dict[str, Any]]:
    """Return the reports that ranks left, the earliest first."""
    reports = [json.loads(path.read_bytes()) for path in folder.glob("failed-*.json")]
    return sorted(reports, key=lambda report: report["time"])


def _failure(reports: list[dict[str, Any]], count: int, first: int, code: int) -> BaseException:
    """Print what went wrong and return the exception to raise.

    A rank's own error takes precedence over what the other ranks noticed of it.

    Args:
        reports: the reports of the ranks, the earliest first.
        count: the number of ranks.
        first: the rank that ended first.
        code: its exit code, negative for a signal.
    """
    for report in reports:
        if report["kind"] in ("config", "run"):
            kind = RunError if report["kind"] == "run" else ConfigError
            return kind(*report["texts"])
        if report["kind"] == "error":
            print(f"Rank {report['rank']} failed:\n{report['texts'][0]}", file=sys.stderr)
        if report["kind"] in ("error", "reported"):
            return SystemExit(1)
    hung = [report for report in reports if report["kind"] == "hung"]
    if hung and code >= 0:
        print(hung[0]["texts"][0], file=sys.stderr)
        return SystemExit(1)
    # Killed by a signal: that rank. Otherwise those that could not even leave a report.
    silent = [first] if code < 0 else sorted(set(range(count)) - {r["rank"] for r in reports})
    ranks = ", ".join(map(str, silent or [first]))
    cause = signal.Signals(-code).name if code < 0 else "killed"
    print(
        f"Rank {ranks} exited unexpectedly ({cause}), and the others were ended. If it was not "
        "killed on purpose, it probably ran out of memory; see dmesg. The last checkpoint is "
        "intact: to resume, repeat the command if the run has a name=, else add resume=.",
        file=sys.stderr,
    )
    return SystemExit(1)


@contextmanager
def _rank_environment(count: int) -> Iterator[None]:
    """Set what the ranks inherit: LAUNCHED, and their share of the cores."""
    added = {LAUNCHED: "1"}
    if "OMP_NUM_THREADS" not in os.environ:
        added["OMP_NUM_THREADS"] = str(max(1, available_cores() // count))
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _forward_signals(signals: Signals, folder: Path) -> Iterator[None]:
    """Forward every signal to the ranks: not all senders reach them (kill PID, scancel --batch).

    Ranks that are not started yet find it in `folder`. A rank may receive a signal twice, which is
    harmless. A second Ctrl-C ends everything immediately.
    """
    handlers = {number: signal.getsignal(number) for number in signals.actions}

    def forward(number: int, frame: FrameType | None) -> None:
        handler = handlers[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)  # raises KeyboardInterrupt at the second Ctrl-C
        with suppress(OSError):  # a full disk
            (folder / f"signal-{number}").touch()
        for rank in multiprocessing.active_children():
            if rank.pid and rank.is_alive():
                processes.forward_signal(rank.pid, number)

    for number in handlers:
        signal.signal(number, forward)
    yield  # `handle_signals` restores the previous handlers
