"""The one place where pixel values change their range: uint8 [0, 255] <-> float [-1, 1]."""

import torch
from torch import Tensor


def to_float(x: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [-1, 1], any shape."""
    return x.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(x: Tensor) -> Tensor:
    """float [-1, 1] -> uint8 [0, 255], any shape; rounds to nearest and clamps.

    The inverse of `to_float` for all 256 values (truncating instead would shift 63 of them).
    """
    return x.detach().float().add(1.0).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
