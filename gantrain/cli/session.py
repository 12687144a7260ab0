"""What surrounds every command: Ctrl-C that answers at once, and output whose reader may go."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TextIO, cast

from gantrain.engine import startup
from gantrain.errors import ConfigError
from gantrain.io.streams import DetachableStream, escape_unprintable

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run(command: Callable[[], int], explain: Callable[[ConfigError], int] | None = None) -> int:
    """Run a command and return its exit code; after Ctrl-C EXIT_INTERRUPTED instead of 0.

    The first Ctrl-C says so at once and ends the command as soon as it can clean up, the second
    ends the process. Training has handlers of its own, see `gantrain.engine.signals`.

    Args:
        command: the command.
        explain: prints what the user can mend and returns the exit code; None: the error is raised.
    """
    with _detachable_output() as faults:
        code = _run(command, explain)
    if faults and not code:
        print(f"The output could not be written ({faults[0].strerror}).", file=sys.stderr)
        return EXIT_FAILED
    return code


def _run(command: Callable[[], int], explain: Callable[[ConfigError], int] | None) -> int:
    interruption = _Interruption()
    with interruption.handled():
        try:
            code = command()
            if code or not interruption.said:  # such as 75 of a sweep that was waiting
                return code
        except KeyboardInterrupt:
            interruption.say()
        except SystemExit as ended:
            if not interruption.said:
                raise
            if ended.code and isinstance(ended.code, int):
                return ended.code
        except BaseException as error:
            # An import or a library that is interrupted halfway may raise anything.
            if not interruption.said:
                if explain is None or not isinstance(error, ConfigError):
                    raise
                return explain(error)
    return EXIT_INTERRUPTED


class _Interruption:
    def __init__(self) -> None:
        self.said = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle SIGINT in the block, unless it is ignored, as in the background of a script.

        After an interruption it stays handled: Python's exit may take long, or wait for a thread.
        """
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            if not self.said:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def say(self) -> None:
        if not self.said:
            self.said = True
            # The terminal has just shown ^C.
            text = "\nInterrupted." if sys.stderr.isatty() else "Interrupted."
            print(text, file=sys.stderr, flush=True)

    def _handle(self, number: int, _: FrameType | None) -> NoReturn:
        if self.said:
            os._exit(EXIT_INTERRUPTED)
        self.say()
        if startup.is_importing():  # the work has not begun
            os._exit(EXIT_INTERRUPTED)
        raise KeyboardInterrupt


@contextmanager
def _detachable_output() -> Iterator[list[OSError]]:
    """Let the output of the block be lost, and tell why afterwards unless its reader has gone."""
    streams = sys.stdout, sys.stderr
    for stream in streams:
        escape_unprintable(stream)
    own = [DetachableStream(stream) for stream in streams]
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in own)
    faults: list[OSError] = []
    try:
        yield faults
    finally:
        for stream in own:
            stream.flush()
        faults += [stream.fault for stream in own if stream.fault]
        sys.stdout, sys.stderr = streams
