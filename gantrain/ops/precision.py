"""Leaving half precision, and products that are not rounded to TF32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """bfloat16 and float16 become float32; float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def allow_tf32(allowed: bool) -> None:
    """Whether CUDA may round the factors of float32 products to 10 bits, in the whole process.

    These are torch's older switches. The newer ones (`fp32_precision`) make every reader of the
    older ones raise, and inductor is such a reader.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Compute in float32 for a block: no autocast on `device`, no TF32.

    For measurements, which must not depend on the precision that a network is trained in.
    """
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    allow_tf32(False)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = cudnn
