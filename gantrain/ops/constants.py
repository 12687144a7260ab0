"""Constant tensors that are made once, also if they are first needed inside a trace."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch._subclasses.functional_tensor import disable_functional_mode
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing


def made_once(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep the tensors that a function makes of its arguments.

    They are real ones outside of inference mode, whoever asks first: a kept tensor outlives the
    mode and the trace of its first caller. A trace by `make_fx` takes it as a constant.

    Args:
        make: a function of hashable arguments, without random numbers and gradients.
    """
    kept: dict[Any, Tensor] = {}

    @wraps(make)
    def get(*args: Any) -> Tensor:
        if args not in kept:
            if torch.compiler.is_compiling():
                return make(*args)  # by the compiled function, until it is compiled anew
            with (
                torch.inference_mode(False),
                disable_functional_mode(),
                unset_fake_temporarily(),
                disable_proxy_modes_tracing(),
            ):
                kept[args] = make(*args)
        return kept[args]

    return get
