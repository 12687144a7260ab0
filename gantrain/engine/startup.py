"""Start and exit faster: importing torch triggers garbage collections that find nothing."""

import atexit
import gc
import importlib
import sys
from types import ModuleType


def import_without_gc(name: str) -> ModuleType:
    """Import a module with the garbage collector switched off.

    The new objects are then frozen, so that no later collection traverses them either.
    """
    # When runs follow each other in one process, freezing again would leak the previous run.
    if name in sys.modules:
        return sys.modules[name]
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        # Before collections are allowed again: the first one would visit all of torch.
        gc.freeze()
        if was_enabled:
            gc.enable()


def skip_final_gc() -> None:
    """Skip the collection at interpreter exit: the system frees all memory at once anyway."""
    atexit.register(gc.freeze)
