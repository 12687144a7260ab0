"""A quick start and end: Python looks for garbage while torch is imported, and finds none."""

import atexit
import gc
import importlib
import sys
from types import ModuleType


def import_without_gc(name: str) -> ModuleType:
    """`importlib.import_module`, without looking for garbage meanwhile.

    What it made stays for the rest of the process, so that no later look goes over it either.
    """
    if name in sys.modules:  # where runs follow each other in one process: do not keep their memory
        return sys.modules[name]
    looking = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        if looking:
            gc.enable()


def skip_final_gc() -> None:
    """Let Python end without its last look: the system takes all memory back at once."""
    atexit.register(gc.freeze)
