"""Ctrl-C and a scheduler's signals act between two steps, not inside one.

On a machine of one's own SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 all mean: save and leave. So does
everywhere SIGHUP, which a terminal sends when it is closed, unless nohup has it ignored.
Inside a Slurm job (SLURM_JOB_ID is set):

- SIGINT: save and leave.
- SIGTERM, sent at preemption, scancel and `scontrol requeue`: save and train on until killed. A job
  that leaves by itself during its grace time counts as finished, and Slurm does not requeue it.
- SIGUSR1, SIGUSR2, the warning before the time limit (sbatch --signal): save, requeue and leave.

A second wish to leave interrupts at once if it is SIGINT.

`defer_signals` is for the time before `handle_signals`, while torch is imported and pictures are
prepared: a job that dies of SIGTERM then would not be requeued either.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Any

EXIT_STOPPED = 75  # EX_TEMPFAIL: stopped early, a good checkpoint is there
EXIT_REQUEUE = 76  # only from a rank to the gantrain that started it: saved, you requeue
LAUNCHED = "GANTRAIN_LAUNCHED"  # environment variable, "1" in a rank that gantrain started itself
PARENT = "GANTRAIN_PARENT"  # environment variable: the process that a run is not to outlive

Handler = Callable[[int, FrameType | None], Any]


class Action(IntEnum):
    """What to do between two steps; of several wishes (and ranks) the largest counts."""

    GO_ON = 0
    SAVE = 1  # save the state and train on, until killed
    STOP = 2  # save and leave
    REQUEUE = 3  # save, ask the scheduler for another turn, and leave


class Signals:
    """What the signals since `handle_signals` ask for.

    Attributes:
        received: the latest signal that asked for the largest action; None before the first.
        earlier: the handlers that SIGUSR1 and SIGUSR2 had before, where they were Python's:
            submitit's handler requeues its job, see `slurm.requeue`.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        env = os.environ if environ is None else environ
        self.received: signal.Signals | None = None
        self.earlier: dict[signal.Signals, Handler] = {}
        self.actions = _actions(in_slurm="SLURM_JOB_ID" in env)
        # The terminal sends Ctrl-C to every process, and the starting process passes it on once
        # more: only that one can tell whether the user pressed it twice.
        self._patient = env.get(LAUNCHED) == "1"
        # Two fields, so that a signal during `take` can never be lost.
        self._save = False
        self._leave = Action.GO_ON

    def take(self) -> Action:
        """What was asked for since the last call; SAVE is forgotten by asking."""
        if self._leave:
            return self._leave
        if self._save:
            self._save = False
            return Action.SAVE
        return Action.GO_ON

    def _handle(self, number: int, _: FrameType | None) -> None:
        received = signal.Signals(number)
        if received == signal.SIGINT and self._leave:
            if not self._patient:
                raise KeyboardInterrupt
            return
        action = self.actions[received]
        if action >= self._leave:
            self.received = received
        if action is Action.SAVE:
            self._save = True
        else:
            self._leave = max(self._leave, action)


_PERSONAL = {signal.SIGINT, getattr(signal, "SIGHUP", None)}  # of a user's own terminal
_held: list[int] = []  # signals that came between `defer_signals` and `handle_signals`


def _remember(number: int, _: FrameType | None) -> None:
    _held.append(number)


def defer_signals() -> None:
    """Inside a Slurm job: keep its signals for `handle_signals` instead of dying of them.

    Handlers that are there already stay: submitit's know what to do as long as nothing is trained.
    Outside of a Slurm job nothing is done, so that Ctrl-C and SIGTERM end what takes long at once.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return
    for number in _actions(in_slurm=True):
        if number not in _PERSONAL and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _remember)


def stop_with_parent() -> None:
    """Save and leave once the process that PARENT names is gone, however it went.

    Does nothing without PARENT, and in the processes that this one starts.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        threading.Thread(target=_follow, args=(int(parent),), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    # Not SIGINT if it can be helped: the parent may have sent one before it went.
    stop = signal.SIGINT if "SLURM_JOB_ID" in os.environ else signal.SIGTERM
    os.kill(os.getpid(), stop)


def _actions(in_slurm: bool) -> dict[signal.Signals, Action]:
    actions = {
        signal.SIGINT: Action.STOP,
        signal.SIGTERM: Action.SAVE if in_slurm else Action.STOP,
    }
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        actions[hangup] = Action.STOP
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):  # Windows lacks them
            actions[getattr(signal, name)] = Action.REQUEUE if in_slurm else Action.STOP
    return actions


@contextmanager
def handle_signals() -> Iterator[Signals]:
    """Handle the signals of the table inside the block; the earlier handlers come back after it."""
    signals = Signals()
    before: dict[signal.Signals, Any] = {}
    for number in signals.actions:
        before[number] = handler = signal.signal(number, signals._handle)
        asks = number not in {*_PERSONAL, signal.SIGTERM}
        if asks and callable(handler) and handler is not _remember:
            signals.earlier[number] = handler
    while _held:
        signals._handle(_held.pop(0), None)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            # None: a handler that is not Python's. It cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
