"""Pickles of networks, as the reference codes of StyleGAN and R3GAN write them, read as data.

Such a file is a dict of modules, and unpickling it would run code: that of the file itself, which
carries the source of its classes, or that of any function it names. Here an unpickler with a short
list of allowed names (none of them code of the file) builds records of plain values and tensors.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.errors import ConfigError

MAX_DEPTH = 64  # of modules within modules
_RECORDS = ("training.", "torch.nn.modules.", "R3GAN.", "torch_utils.", "networks.")
_DTYPES = ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64")
_TENSORFLOW = "dnnlib.tflib.network"
_TORCH_PLAIN = {"torch.bool": torch.bool, **{f"torch.{n}": getattr(torch, n) for n in _DTYPES}}


@dataclass(frozen=True)
class PickledModule:
    """A module in a pickle.

    Attributes:
        kind: name of its class, such as "Generator".
        weights: its state dict.
        arguments: those that its constructor was called with; {}: not recorded.
    """

    kind: str
    weights: dict[str, Tensor]
    arguments: dict[str, Any] = field(default_factory=dict)


def read_modules(file: Path) -> dict[str, PickledModule]:
    """Return the modules in a pickled dict by their keys ("G", "D", "G_ema", "augment_pipe").

    Nothing in the file is run.

    Raises:
        ConfigError: the file is damaged, names anything else than networks and tensors, or is of
            the TensorFlow version.
    """
    try:
        with file.open("rb") as opened:
            content = _Unpickler(opened).load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, not a dict")
        return {
            str(key): _module(value) for key, value in content.items() if isinstance(value, _Record)
        }
    except _RefusedError as refused:
        raise ConfigError(f"{file} {refused}") from None
    except Exception as fault:  # a damaged pickle raises almost anything; it runs nothing
        reason = (str(fault).splitlines() or [type(fault).__name__])[0][:100]
        raise ConfigError(f"{file} is damaged, or no pickle of networks ({reason}).") from None


class _RefusedError(Exception):
    """Ends a sentence that begins with the name of the file."""


class _FrozenType(type):
    """A class that a pickle cannot change."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"it sets {name} of a class")


class _Record(metaclass=_FrozenType):
    """An object in a pickle: the name of its class, and what was in it."""

    __slots__ = ("kind", "state")
    kind: str
    state: dict[str, Any]

    def __new__(cls, kind: str = "", state: Any = None) -> "_Record":
        record = super().__new__(cls)
        record.kind = kind or getattr(cls, "name", "")
        record.state = dict(state) if isinstance(state, dict) else {}
        return record

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("an object has no attributes")
        self.state = dict(state)


class _Attributes(dict, metaclass=_FrozenType):
    """A dict of arguments (EasyDict), or of anything else by name."""

    def __setstate__(self, state: Any) -> None:
        self.update(state if isinstance(state, dict) else {})


class _Array(metaclass=_FrozenType):
    """A numpy array: built only when its bytes are known to be there."""

    __slots__ = ("value",)
    value: Any

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array is not of numbers")
        flat = np.frombuffer(data, dtype.value)
        self.value = flat.reshape(shape, order="F" if fortran else "C").copy()


class _Dtype(metaclass=_FrozenType):
    """A numpy dtype of numbers."""

    __slots__ = ("value",)

    def __init__(self, name: Any, *_: Any) -> None:
        value = np.dtype(str(name))
        if value.kind not in "biuf":
            raise pickle.UnpicklingError(f"an array is of the type {value}")
        self.value = value

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            self.value = self.value.newbyteorder(">")


class _Function(metaclass=_FrozenType):
    """A function that a pickle may call, and nothing else."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "call", call)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"it sets {name} of a function")

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)


def _persistent_object(meta: dict[str, Any]) -> _Record:
    """Return the record of a "persistent object", whose source code is left alone."""
    return _Record(str(meta["class_name"]), meta["state"])


def _storage(data: bytes) -> Tensor:
    """Return a pickled storage as a tensor of one dimension."""
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor has no numbers")
    flat = torch.empty(0, dtype=storage.dtype)
    return flat.set_(storage._untyped_storage)


def _tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    count = prod(size)
    span = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    if not isinstance(storage, Tensor) or min(offset, *size, *stride, 0) < 0:
        raise pickle.UnpicklingError("a tensor has no numbers")
    if count and (count > storage.numel() or span > storage.numel()):
        raise pickle.UnpicklingError("a tensor is larger than its numbers")
    return storage.as_strided(size, stride, offset).clone() if count else storage.new_empty(size)


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _array(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype.value)[0].item()


_NUMPY = {
    f"{module}.multiarray.{name}": _Function(call)
    for module in ("numpy.core", "numpy._core")
    for name, call in (("_reconstruct", _array), ("scalar", _scalar))
}
_ALLOWED: dict[str, Any] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _Function(_persistent_object),
    "torch.storage._load_from_bytes": _Function(_storage),
    "torch._utils._rebuild_tensor_v2": _Function(_tensor),
    "torch._utils._rebuild_parameter": _Function(_parameter),
    "torch.Size": tuple,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "dnnlib.util.EasyDict": _Attributes,
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    **_NUMPY,
    **_TORCH_PLAIN,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the names in `_ALLOWED`, and modules only as records."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _ALLOWED:
            return _ALLOWED[full]
        if module == _TENSORFLOW:
            raise _RefusedError(
                "is a pickle of the TensorFlow version. Convert it with the legacy.py of "
                "stylegan2-ada-pytorch or stylegan3, and import the result."
            )
        if module.startswith(_RECORDS) and "." not in name:
            return _FrozenType("_Record", (_Record,), {"__slots__": (), "name": name})
        raise _RefusedError(
            f"names {full}, which is code that no network needs: nothing of it was run. Only "
            "pickles of stylegan2-ada-pytorch, stylegan3 and R3GAN are read."
        )

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to another file")


def _module(record: _Record) -> PickledModule:
    arguments = record.state.get("_init_kwargs")
    arguments = _plain(arguments) if isinstance(arguments, dict) else {}
    if record.state.get("_init_args"):
        raise _RefusedError(f"holds a {record.kind} whose settings have no names.")
    return PickledModule(record.kind, dict(_tensors(record, "", 0)), arguments)


def _plain(value: Any) -> Any:
    """Return arguments as plain values, arrays as lists."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return value.value.tolist() if isinstance(value, _Array) else value


def _tensors(record: _Record, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the state dict of a module."""
    if depth > MAX_DEPTH:
        raise pickle.UnpicklingError("its modules are nested too deeply")
    temporary = record.state.get("_non_persistent_buffers_set") or ()
    for group in ("_parameters", "_buffers"):
        for name, tensor in (record.state.get(group) or {}).items():
            if isinstance(tensor, Tensor) and name not in temporary:
                yield f"{prefix}{name}", tensor.detach()
    for name, child in (record.state.get("_modules") or {}).items():
        if isinstance(child, _Record):
            yield from _tensors(child, f"{prefix}{name}.", depth + 1)
