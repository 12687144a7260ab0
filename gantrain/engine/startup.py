"""Start and exit faster: garbage collections of a start find nothing."""

import atexit
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_importing = False


def import_without_gc(name: str) -> ModuleType:
    """Import a module with the garbage collector switched off.

    The new objects are then frozen, so that no later collection traverses them either.
    """
    # When runs follow each other in one process, freezing again would leak the previous run.
    global _importing
    if name in sys.modules:
        return sys.modules[name]
    with paused_gc():
        _importing = True
        try:
            return importlib.import_module(name)
        finally:
            _importing = False
            # Before collections are allowed again: the first one would visit all of torch.
            gc.freeze()


def is_importing() -> bool:
    """Whether `import_without_gc` is at work.

    Raising from a signal handler is not safe then: C++ code of torch that runs Python while it
    is imported aborts the process at any exception.
    """
    return _importing


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
