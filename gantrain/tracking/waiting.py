"""Say what takes long: a spinner on a terminal, a line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

FIRST_SECONDS, LATER_SECONDS = 20.0, 120.0  # until a line elsewhere, and between two of them


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show `text` while the block runs; lines that it prints appear above it.

    Args:
        text: what is happening, such as "loading torch".
    """
    if sys.stderr.isatty() and sys.stdout.isatty():
        from rich.console import Console

        with Console(stderr=True).status(f"[dim]{text} ...[/]"):
            yield
        return
    done = threading.Event()
    threading.Thread(target=_remind, args=(text, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _remind(text: str, done: threading.Event) -> None:
    start, pause = time.monotonic(), FIRST_SECONDS
    while not done.wait(pause):
        print(f"Still {text} ({time.monotonic() - start:.0f} s).", file=sys.stderr, flush=True)
        pause = LATER_SECONDS
