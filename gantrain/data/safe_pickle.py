"""Reading pickles that hold numpy arrays of bytes, without running what else they may say."""

import io
import pickle
from typing import Any

import numpy as np


def unpickle(content: bytes) -> Any:
    """Lists, dicts, numbers, bytes and `Uint8Array` out of a pickle, as Python 2 or 3 wrote it.

    Raises pickle.UnpicklingError for anything else, or whatever damaged bytes lead to.
    """
    return _OnlyArrays(io.BytesIO(content), encoding="bytes").load()


class Uint8Array:
    """Stands for an uint8 numpy.ndarray in the pickle: `array`."""

    array: np.ndarray

    # numpy's own state is not safe to load: it may declare any bytes to be pointers.
    def __setstate__(self, state: tuple[int, tuple[int, ...], object, bool, bytes]) -> None:
        _, shape, _, fortran, content = state
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


class _Uint8:
    """Stands for numpy.dtype, and is uint8 or nothing."""

    def __init__(self, name: bytes | str, *_: object) -> None:
        if name not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of {name!r} is not allowed")

    def __setstate__(self, state: object) -> None:
        """Byte order and the like: nothing that a byte could need."""


def _reconstruct(*_: object) -> Uint8Array:
    return Uint8Array()


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # how Python 3 writes bytes into a pickle of protocol 2


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
