"""The one place where pixel values change their range: whole numbers <-> float [-1, 1]."""

import torch
from torch import Tensor

LARGEST = {torch.uint8: 255, torch.uint16: 65535}


def to_float(x: Tensor) -> Tensor:
    """uint8 [0, 255] or uint16 [0, 65535] -> float32 [-1, 1], any shape; floats as they are."""
    if x.is_floating_point():
        return x
    return x.to(torch.float32).div_(LARGEST[x.dtype] / 2).sub_(1.0)


def to_integers(x: Tensor, dtype: torch.dtype) -> Tensor:
    """float [-1, 1] -> uint8 [0, 255] or uint16 [0, 65535], any shape; rounds and clamps.

    The inverse of `to_float` for all values (truncating instead would shift 63 of 256).
    """
    most = LARGEST[dtype]
    return x.detach().float().add(1.0).mul(most / 2).round_().clamp_(0, most).to(dtype)


def to_uint8(x: Tensor) -> Tensor:
    """float [-1, 1], uint16 or uint8 -> uint8 [0, 255], any shape."""
    return x if x.dtype == torch.uint8 else to_integers(to_float(x), torch.uint8)
