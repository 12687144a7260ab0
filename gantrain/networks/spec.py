"""Networks that record their constructor call, so that a snapshot can rebuild them."""

import functools
import inspect
from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import nn

M = TypeVar("M", bound=type[nn.Module])


def self_describing(cls: M) -> M:
    """Decorate a network class: instances get `spec = {"target": "module.Class", "args": {...}}`.

    The constructor's arguments must be plain values (numbers, strings, bools, None, lists and dicts
    of them): `spec` is written into snapshots and read back without unpickling code.
    """
    init: Callable[..., None] = cls.__init__
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        init(self, *args, **kwargs)
        arguments = dict(list(bound.arguments.items())[1:])  # without self
        self.spec = {"target": f"{cls.__module__}.{cls.__qualname__}", "args": arguments}  # type: ignore[assignment]

    cls.__init__ = wrapped  # type: ignore[method-assign]
    return cls


def misfit(cls: type[nn.Module], arguments: dict[str, Any]) -> str | None:
    """Return the first argument whose value is of another kind than the constructor's annotation.

    Args:
        cls: a network class. Annotations other than plain values and lists of them fit anything.
        arguments: plain values by name, as a file has them.
    """
    hints = get_type_hints(cls.__init__)
    return next((key for key, x in arguments.items() if not _fits(x, hints.get(key, Any))), None)


def _fits(value: Any, hint: Any) -> bool:
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if kind is Literal:
        return value in parts
    if kind in (list, tuple, Sequence):
        if not isinstance(value, list | tuple):
            return False
        if kind is tuple and Ellipsis not in parts:
            return len(value) == len(parts) and all(map(_fits, value, parts))
        return all(_fits(x, parts[0]) for x in value)
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (bool, str, NoneType) else True


def spec_of(network: nn.Module) -> dict[str, Any]:
    """Return how to rebuild a network, see `gantrain.networks.spec.self_describing`.

    Raises:
        TypeError: the network's class is not decorated with @self_describing.
    """
    spec = getattr(network, "spec", None)
    if not isinstance(spec, dict):
        raise TypeError(f"{type(network).__name__} needs the decorator @self_describing")
    return spec
