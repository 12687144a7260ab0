"""Whether a computation is being recorded, for a compiler or as a CUDA graph."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.fx.experimental.proxy_tensor import get_proxy_mode

_depth = 0


@contextmanager
def recording() -> Iterator[None]:
    """Record the operations in the block, or prepare the inputs of what has been recorded."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def is_recorded() -> bool:
    """Return whether shapes and branches must not depend on values, as they hold for all runs."""
    return _depth > 0 or is_traced()


def is_traced() -> bool:
    """Return whether operations are written down for a compiler, by torch.compile or `make_fx`.

    Then an operation chooses its plain form, which a compiler can fuse with its neighbours.
    """
    return torch.compiler.is_compiling() or get_proxy_mode() is not None
