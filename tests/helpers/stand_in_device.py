"""A device that is not the CPU for torch, and computes on it: what a GPU would refuse shows itself.

`start()` once in a process, then `with Ledger() as ledger:` around what is to be looked at, with
tensors and modules on DEVICE. Inside,

- an operation on tensors of both devices raises, as on CUDA (a pointwise one may take a CPU number
  without dimensions);
- everything that crosses is written down: copies to the device, copies back, and values that
  Python reads, all of which make the host wait for a GPU;
- torch.tensor(..., device=) and new_tensor, which copy behind torch's back, raise, too;
- the numbers are those of the CPU, random ones too, so results can be compared bit for bit.

It is torch's own interface for back ends in Python (privateuse1): autograd, double backward and
autocast work as on any device. Not shown: CUDA's kernels, streams, pinned memory, and branches of
ours that ask for "cuda".
"""

import contextlib
import hashlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "standin"
_AUTOCAST = "AutocastPrivateUse1"
PACKAGE = str(Path(__file__).parents[2] / "gantrain")
aten = torch.ops.aten
_READS = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default,
    aten.is_nonzero.default, aten.masked_select.default, aten._unique2.default,
}  # fmt: skip
_INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
# What autocast computes in half precision.
_LOWERED = (
    "conv2d", "conv_transpose2d.input", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm",
)  # fmt: skip
_kept: list[Any] = []  # registrations end with their library


class _Module(ModuleType):
    """torch.standin, as far as torch asks for it."""

    is_initialized = is_available = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    manual_seed_all = staticmethod(lambda seed: None)  # it has the CPU's generator
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])


def start() -> torch.device:
    """Register the device, once in a process and for good; returns it."""
    if not _kept:
        _setup_privateuseone_for_python_backend(NAME, _Module(NAME))
        _register_autocast()
    return torch.device(NAME, 0)


def _register_autocast() -> None:
    rest = torch.library.Library("_", "IMPL", _AUTOCAST)
    rest.fallback(torch.library.fallthrough_kernel)
    lowered = torch.library.Library("aten", "IMPL", _AUTOCAST)
    for name in _LOWERED:
        packet, _, overload = name.partition(".")
        lowered.impl(name, _in_half(getattr(getattr(aten, packet), overload or "default")))
    _kept.extend([rest, lowered])


def _in_half(operation: Callable[..., Any]) -> Callable[..., Any]:
    def cast(x: Any) -> Any:
        floating = isinstance(x, Tensor) and x.dtype == torch.float32
        return x.to(torch.get_autocast_dtype(NAME)) if floating else x

    def kernel(*args: Any, **kwargs: Any) -> Any:
        keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, _AUTOCAST))
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return operation(*_map(cast, args), **_map(cast, kwargs))

    return kernel


class OnDevice(Tensor):
    """Says that it is on the device, and holds its numbers on the CPU in `inner`."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnDevice":
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(NAME, 0),
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{func} on the stand-in device outside of a Ledger")

    def tolist(self) -> Any:  # torch's own does not know subclasses
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:  # files hold what lies on the CPU
        return self.detach().cpu().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copy = self.detach().clone().requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            copy._is_param = True  # type: ignore[attr-defined]
        memo[id(self)] = copy
        return copy


@dataclass(frozen=True)
class Crossing:
    """Something that went from one device to the other.

    where: "file.py:function" of gantrain that asked for it. digest: of the numbers copied.
    """

    kind: str  # "copy to device", "copy to host", "read"
    where: str
    digest: str = ""


@dataclass
class Ledger(TorchDispatchMode):
    """A block in which the device works; `crossings` of the time while `open` is on."""

    crossings: list[Crossing] = field(default_factory=list)
    open: bool = False
    operations: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write down what crosses in this block."""
        self.open = True
        try:
            yield
        finally:
            self.open = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [*_tensors((args, kwargs))]
        there = [x for x in tensors if isinstance(x, OnDevice)]
        here = [x for x in tensors if not isinstance(x, OnDevice)]
        self.operations += bool(there)
        to_device = self._check(func, args, kwargs, there, here)
        result = func(*_map(_inner, args), **_map(_inner, kwargs))
        known = {id(x.inner): x for x in there}  # in-place operations return what they were given
        return _map(lambda x: _outer(x, known, to_device), result)

    def _check(
        self, func: Any, args: Any, kwargs: Any, there: list[OnDevice], here: list[Tensor]
    ) -> bool:
        """Whether the result is on the device; writes down what crosses."""
        if func is aten.copy_.default:
            to_device = isinstance(args[0], OnDevice)
            if to_device != isinstance(args[1], OnDevice):
                self._note("copy to device" if to_device else "copy to host", args[1])
            return to_device
        target = kwargs.get("device")
        to_device = bool(there) if target is None else torch.device(target).type == NAME
        if func is aten._to_copy.default:
            if bool(there) != to_device:
                self._note("copy to device" if to_device else "copy to host", args[0])
            return to_device
        # CUDA lets a CPU number without dimensions into pointwise operations, nowhere else.
        if there and (any(x.dim() for x in here) or (here and not _pointwise(func))):
            raise RuntimeError(f"{func}: tensors on the device and on the CPU")
        if there and (func in _READS or (func in _INDEXING and _has_mask(args[1]))):
            self._note("read", None)
        return to_device

    def _note(self, kind: str, numbers: Any) -> None:
        if not self.open:
            return
        digest = ""
        if isinstance(numbers, Tensor):
            content = _inner(numbers).detach().double().contiguous().numpy().tobytes()
            digest = hashlib.sha256(content).hexdigest()
        self.crossings.append(Crossing(kind, _where(), digest))


def _map(f: Callable[[Any], Any], x: Any) -> Any:
    """f of every leaf of an operation's arguments; torch's own pytree takes twice the time."""
    if isinstance(x, list | tuple):
        return type(x)([_map(f, part) for part in x])
    return {key: _map(f, part) for key, part in x.items()} if isinstance(x, dict) else f(x)


def _tensors(x: Any) -> Iterator[Tensor]:
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, list | tuple | dict):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _tensors(part)


def _inner(x: Any) -> Any:
    if isinstance(x, torch.device) and x.type == NAME:
        return torch.device("cpu")
    return x.inner if isinstance(x, OnDevice) else x


def _outer(x: Any, known: dict[int, OnDevice], to_device: bool) -> Any:
    if not isinstance(x, Tensor) or isinstance(x, OnDevice):
        return x
    if id(x) in known:
        return known[id(x)]
    return OnDevice(x) if to_device else x


def _pointwise(func: Any) -> bool:
    return torch.Tag.pointwise in func.tags or "_foreach_" in str(func)


def _has_mask(indices: Any) -> bool:
    """Whether the host must count what a mask selects."""
    return any(isinstance(x, Tensor) and x.dtype == torch.bool for x in indices)


def _where() -> str:
    """The innermost function of gantrain that is running."""
    frames = [f for f in traceback.extract_stack() if f.filename.startswith(PACKAGE)]
    if not frames:
        return "backward or a test"
    return f"{Path(frames[-1].filename).name}:{frames[-1].name}"
