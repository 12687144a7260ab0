"""The only conversion of pixel values: integers <-> float [-1, 1]."""

import torch
from torch import Tensor

MAX_VALUE = {torch.uint8: 255, torch.uint16: 65535}


def to_float(x: Tensor) -> Tensor:
    """Convert uint8 [0, 255] or uint16 [0, 65535] to float32 [-1, 1]; floats stay unchanged."""
    if x.is_floating_point():
        return x
    # In place on the new float tensor: batches are large.
    return x.to(torch.float32).div_(MAX_VALUE[x.dtype] / 2).sub_(1.0)


def to_integers(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert floats [-1, 1] to uint8 [0, 255] or uint16 [0, 65535], rounded and clamped.

    The inverse of `to_float` for all values (truncating instead would shift 63 of 256).

    Args:
        x: of any shape; it is detached.
        dtype: torch.uint8 or torch.uint16.
    """
    # Rounded before the clamp; a conversion alone would truncate and wrap around.
    max_value = MAX_VALUE[dtype]
    return x.detach().float().add(1.0).mul(max_value / 2).round_().clamp_(0, max_value).to(dtype)


def to_uint8(x: Tensor) -> Tensor:
    """Convert floats [-1, 1] or uint16 to uint8 [0, 255]; uint8 stays unchanged."""
    return x if x.dtype == torch.uint8 else to_integers(to_float(x), torch.uint8)
