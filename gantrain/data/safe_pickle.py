"""Read pickles of uint8 numpy arrays without executing anything else in them."""

import io
import pickle
from typing import Any

import numpy as np


def unpickle(content: bytes) -> Any:
    """Load a pickle of Python 2 or 3 that consists of plain values and uint8 arrays.

    Args:
        content: the bytes of the pickle.

    Returns:
        Lists, dicts, numbers, bytes, and `Uint8Array` in place of numpy arrays.

    Raises:
        pickle.UnpicklingError: the pickle contains anything else.
        Exception: of any type, for damaged bytes.
    """
    return _OnlyArrays(io.BytesIO(content), encoding="bytes").load()


class Uint8Array:
    """Stand-in for numpy.ndarray while unpickling; the attribute `array` is the result."""

    array: np.ndarray

    # numpy's own __setstate__ is not safe: it may interpret any bytes as pointers.
    def __setstate__(self, state: tuple[int, tuple[int, ...], object, bool, bytes]) -> None:
        _, shape, _, fortran, content = state
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


class _Uint8:
    """Stand-in for numpy.dtype that accepts uint8 only."""

    def __init__(self, name: bytes | str, *_: object) -> None:
        if name not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of {name!r} is not allowed")

    def __setstate__(self, state: object) -> None:
        """Ignore the state, such as the byte order, which does not matter for bytes."""


def _reconstruct(*_: object) -> Uint8Array:
    return Uint8Array()


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # Python 3 writes bytes this way in pickles of protocol 2


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): Uint8Array,
    ("numpy", "dtype"): _Uint8,
    ("_codecs", "encode"): _encode,
}


class _OnlyArrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return _STAND_INS[module, name]
