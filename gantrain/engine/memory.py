"""How much memory a run has taken, and what to say when there is no more."""

import re
import sys

import torch


def peak_gigabytes(device: torch.device) -> float:
    """Peak memory in 10^9 bytes: of a CUDA device, else of the whole process (0: unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource  # not on Windows
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


# torch raises an OutOfMemoryError for an allocation of its own on CUDA; the rest are RuntimeErrors.
_EXHAUSTED = (
    "out of memory",  # MPS, CUDA's own libraries
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DEVICE_ALLOCATION_FAILED",
)


def is_exhausted(error: BaseException) -> bool:
    """Whether `error` says that a device's or the machine's memory did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _EXHAUSTED)


def shortage(error: BaseException) -> str:
    """What torch says of it, without its advice for programmers: "CUDA out of memory. Tried to
    allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.20 GiB is free."."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.partition("DefaultCPUAllocator: ")[2] or text
    found = re.match(r".*? is free\.", text)
    short = found.group() if found else re.split(r"(?<=\.)\s|\sException raised", text)[0]
    return short if short.endswith(".") else f"{short}."
