"""Networks that record their constructor call, so that a snapshot can rebuild them."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

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


def spec_of(network: nn.Module) -> dict[str, Any]:
    """Return how to rebuild a network, see `gantrain.networks.spec.self_describing`.

    Raises:
        TypeError: the network's class is not decorated with @self_describing.
    """
    spec = getattr(network, "spec", None)
    if not isinstance(spec, dict):
        raise TypeError(f"{type(network).__name__} needs the decorator @self_describing")
    return spec
