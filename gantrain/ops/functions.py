"""A base for autograd Functions that torch.func can transform."""

from typing import Any

import torch


class QuickFunction(torch.autograd.Function):
    """A Function with `setup_context`, as torch.func needs it, without the time that this costs.

    torch inspects the signature of `forward` at every call, which takes about 50 us. No defaults
    and no keywords, therefore.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Compute the Function, and record it for autograd."""
        if torch._C._are_functorch_transforms_active():
            return super().apply(*args)
        return super(torch.autograd.Function, cls).apply(*args)  # type: ignore[misc]
