"""Ctrl-C and a scheduler's SIGTERM end a run between two steps, not inside one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EXIT_STOPPED = 75  # EX_TEMPFAIL: stopped early, a good checkpoint is there


class StopRequest:
    """Set by the first SIGINT or SIGTERM; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Handle SIGINT and SIGTERM inside the block; the earlier handlers come back after it."""
    request = StopRequest()
    earlier: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        earlier[number] = signal.signal(number, request._handle)
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
