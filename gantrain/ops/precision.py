"""Leave half precision and TF32 where full float32 is needed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Convert bfloat16 and float16 to float32; leave float32 and float64 unchanged."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def allow_tf32(allowed: bool) -> None:
    """Set whether CUDA may round factors of float32 products to TF32 (10 bits), process-wide.

    Uses torch's older switches: the newer ones (`fp32_precision`) make every reader of the older
    ones raise, inductor among them.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Disable autocast on `device` and TF32 within a `with` block.

    For metrics, which must not depend on the precision a network is trained in.
    """
    # Restored at the end: the switches are process-wide, and training goes on with them.
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    allow_tf32(False)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = cudnn
