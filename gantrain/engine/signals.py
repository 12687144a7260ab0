"""Ctrl-C and a scheduler's signals act between two steps, not inside one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Any

EXIT_STOPPED = 75  # EX_TEMPFAIL: stopped early, a good checkpoint is there


class Action(IntEnum):
    """What to do between two steps; of several wishes (and ranks) the largest counts."""

    GO_ON = 0
    SAVE = 1  # save the state and train on, until killed
    STOP = 2  # save and leave
    REQUEUE = 3  # save, ask the scheduler for another turn, and leave


class Signals:
    """Set by the first SIGINT or SIGTERM; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._action = Action.GO_ON

    def take(self) -> Action:
        """What was asked for since the last call; SAVE is forgotten by asking."""
        action = self._action
        if action is Action.SAVE:
            self._action = Action.GO_ON
        return action

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        self._action = max(self._action, Action.STOP)


@contextmanager
def listen() -> Iterator[Signals]:
    """Handle SIGINT and SIGTERM inside the block; the earlier handlers come back after it."""
    signals = Signals()
    earlier: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        earlier[number] = signal.signal(number, signals._handle)
    try:
        yield signals
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
