"""Whether a computation is being recorded, for a compiler or as a CUDA graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Recorder = Literal["compiler", "cuda graph"]

_recorders: list[Recorder] = []


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Record the operations in the block; "compiler": symbolically, on tensors without values."""
    _recorders.append(recorder)
    try:
        yield
    finally:
        _recorders.pop()


def is_recorded() -> bool:
    """Return whether shapes and branches must not depend on values, as they hold for all runs."""
    return bool(_recorders) or torch.compiler.is_compiling()


def is_traced() -> bool:
    """Return whether a compiler will rewrite what is computed.

    Then an operation chooses its plain form, which a compiler can fuse with its neighbours.
    """
    return "compiler" in _recorders or torch.compiler.is_compiling()
