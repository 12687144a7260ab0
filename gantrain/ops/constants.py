"""Constant tensors that are made once, also when they are first needed inside a trace."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

P = ParamSpec("P")


def made_once(make: Callable[P, Tensor], kept: int = 8) -> Callable[P, Tensor]:
    """Cache the tensors that a function makes of its arguments.

    They are real ones outside of inference mode whoever asks first: a cached tensor outlives the
    mode and the trace of its first caller. `make_fx` and torch.compile take them as constants.

    Args:
        make: a function of hashable arguments, without random numbers or gradients.
        kept: how many tensors are kept.
    """

    @lru_cache(maxsize=kept)
    def cached(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        with (
            torch.inference_mode(False),
            unset_fake_temporarily(),
            disable_proxy_modes_tracing(),
        ):
            return make(*args, **kwargs)

    @torch.compiler.assume_constant_result
    @wraps(make)
    def get(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        return cached(*args, **kwargs)

    return get
