"""Start and exit faster: garbage collections of a start find nothing."""

import atexit
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def import_without_gc(name: str) -> ModuleType:
    """Import a module with the garbage collector switched off.

    The new objects are then frozen, so that no later collection traverses them either.
    """
    # When runs follow each other in one process, freezing again would leak the previous run.
    if name in sys.modules:
        return sys.modules[name]
    with paused_gc():
        try:
            return importlib.import_module(name)
        finally:
            # Before collections are allowed again: the first one would visit all of torch.
            gc.freeze()


@contextmanager
def paused_gc() -> Iterator[None]:
    """Switch the garbage collector off in the block."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def skip_final_gc() -> None:
    """Skip the collection at interpreter exit: the system frees all memory at once anyway."""
    atexit.register(gc.freeze)
