"""Make Ctrl-C and a scheduler's signals act between two steps, not inside one.

Outside of Slurm, SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 all mean: save and exit. So does SIGHUP
everywhere, which a closing terminal sends, unless it is ignored (nohup), and SIGBREAK on Windows,
which is Ctrl-Break: the only one that a process can send to another there.
Inside a Slurm job (SLURM_JOB_ID is set):

- SIGINT: save and exit.
- SIGTERM, sent at preemption, scancel and `scontrol requeue`: save and keep training until killed.
  A job that exits during its grace time counts as finished, and Slurm does not requeue it.
- SIGUSR1, SIGUSR2, the warning before the time limit (sbatch --signal): save, requeue and exit.

A second SIGINT interrupts immediately; only a file that is being written is completed.

`defer_signals` covers the time before `handle_signals`, while torch is imported and images are
prepared: a job killed by SIGTERM during that time would not be requeued either.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Any

from gantrain.io import processes

EXIT_STOPPED = 75  # EX_TEMPFAIL: stopped early with an intact checkpoint
EXIT_REQUEUE = 76  # from a rank to the gantrain process that started it: saved, please requeue
LAUNCHED = "GANTRAIN_LAUNCHED"  # environment variable: "1" in a rank that gantrain started
PARENT = "GANTRAIN_PARENT"  # environment variable: the process that a run must not outlive

Handler = Callable[[int, FrameType | None], Any]


class Action(IntEnum):
    """What to do between two steps. Among several signals and ranks, the largest value wins."""

    CONTINUE = 0
    CHECKPOINT = 1  # save the state, since the time for it has come
    SAVE = 2  # save the state and a snapshot, and keep training until killed
    STOP = 3  # save and exit
    REQUEUE = 4  # save, ask the scheduler to run the job again, and exit
    FAIL = 5  # save, and raise why the data could not be loaded


class Interrupted(BaseException):
    """A signal has ended a wait inside `Signals.interruptible`."""


class Signals:
    """The requests made by signals since `handle_signals`.

    Args:
        environ: environment variables; None: those of the process.
        on_request: called by every signal that requests something.

    Attributes:
        received: the latest signal that requested the largest action; None before the first.
        previous_handlers: the Python handlers that SIGUSR1 and SIGUSR2 had before. submitit's
            handler requeues its job, see `slurm.requeue`.
        actions: the action that each signal requests.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        on_request: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_request = on_request
        env = os.environ if environ is None else environ
        self.received: signal.Signals | None = None
        self.previous_handlers: dict[signal.Signals, Handler] = {}
        self.actions = _actions(in_slurm="SLURM_JOB_ID" in env)
        # The terminal sends Ctrl-C to every process, and the launching process forwards it as
        # well, so only the launcher can tell whether the user pressed it twice.
        self._ignore_repeated = env.get(LAUNCHED) == "1"
        self._is_waiting = False
        # Two fields, so that a signal that arrives during `pop_request` is never lost.
        self._save = False
        self._exit = Action.CONTINUE

    def pop_request(self) -> Action:
        """Return what was requested since the last call; a request to SAVE is cleared by this."""
        if self._exit:
            return self._exit
        if self._save:
            self._save = False
            return Action.SAVE
        return Action.CONTINUE

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal that requests something raise Interrupted inside the block.

        For waits that may never end, such as that for data on a disk that is gone.
        """
        self._is_waiting = True
        try:
            if self._exit or self._save:  # it came just before
                raise Interrupted
            yield
        finally:
            self._is_waiting = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        received = signal.Signals(number)
        if received == signal.SIGINT and self._exit:
            if not self._ignore_repeated:
                raise KeyboardInterrupt
            return
        action = self.actions[received]
        if action >= self._exit:
            self.received = received
        if action is Action.SAVE:
            self._save = True
        else:
            self._exit = max(self._exit, action)
        self._on_request()
        if self._is_waiting:
            self._is_waiting = False  # once: what follows is not a wait
            raise Interrupted


_FROM_TERMINAL = {getattr(signal, name, None) for name in ("SIGINT", "SIGHUP", "SIGBREAK")}
_deferred: list[int] = []  # signals that came between `defer_signals` and `handle_signals`


def _defer(number: int, _: FrameType | None) -> None:
    _deferred.append(number)


def defer_signals() -> None:
    """Inside a Slurm job, keep its signals for `handle_signals` instead of dying from them.

    Existing handlers stay: before training starts, submitit's do the right thing. Outside of a
    Slurm job nothing is deferred, so that Ctrl-C and SIGTERM end a slow start immediately.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return
    for number in _actions(in_slurm=True):
        if number not in _FROM_TERMINAL and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _defer)


def stop_with_parent() -> None:
    """Save and exit once the process named by PARENT is gone, however it ended.

    Do nothing without PARENT. The variable is removed, so that child processes do not inherit it.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        threading.Thread(target=_watch_parent, args=(int(parent),), daemon=True).start()


def _watch_parent(parent: int) -> None:
    processes.wait_for_end_of_parent(parent)
    # SIGTERM rather than SIGINT where both mean the same: the parent may have sent a SIGINT
    # before it ended, and a second one would interrupt.
    stop = signal.SIGINT if "SLURM_JOB_ID" in os.environ else signal.SIGTERM
    processes.signal_self(stop)


def _actions(in_slurm: bool) -> dict[signal.Signals, Action]:
    """Return the table in the docstring of this module."""
    actions = {
        signal.SIGINT: Action.STOP,
        signal.SIGTERM: Action.SAVE if in_slurm else Action.STOP,
    }
    for name in ("SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            actions[number] = Action.STOP
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):  # Windows lacks them
            actions[getattr(signal, name)] = Action.REQUEUE if in_slurm else Action.STOP
    return actions


@contextmanager
def handle_signals(on_request: Callable[[], None] = lambda: None) -> Iterator[Signals]:
    """Handle signals inside the block, starting with deferred ones, then restore the handlers.

    Only the main thread of a process can: elsewhere nothing is handled.

    Args:
        on_request: called by every signal that requests something.
    """
    signals = Signals(on_request=on_request)
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    replaced: dict[signal.Signals, Any] = {}
    for number in signals.actions:
        replaced[number] = handler = signal.signal(number, signals._handle)
        may_requeue = number not in {*_FROM_TERMINAL, signal.SIGTERM}
        if may_requeue and callable(handler) and handler is not _defer:
            signals.previous_handlers[number] = handler
    while _deferred:
        signals._handle(_deferred.pop(0), None)
    try:
        yield signals
    finally:
        for number, handler in replaced.items():
            # None is a handler that Python did not install and cannot restore.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
