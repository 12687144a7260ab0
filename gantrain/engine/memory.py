"""Peak memory, errors about memory that ran out, and copies in the memory of the CPU."""

import re
from copy import copy as shallow_copy
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from gantrain.io import system_memory


def peak_gigabytes(device: torch.device) -> float:
    """Return the peak memory in 10^9 bytes of a CUDA device, or else of the process.

    Args:
        device: where the training runs.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return system_memory.peak_bytes() / 1e9


# torch raises an OutOfMemoryError only for its own allocations on CUDA; others are RuntimeErrors.
_EXHAUSTED = (
    "out of memory",  # MPS, CUDA's own libraries
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DEVICE_ALLOCATION_FAILED",
)


def is_exhausted(error: BaseException) -> bool:
    """Return whether `error` means that a device or the machine ran out of memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _EXHAUSTED)


def shortage(error: BaseException) -> str:
    """Return torch's message without its advice for programmers.

    An example is "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of
    79.10 GiB of which 1.20 GiB is free.".
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.partition("DefaultCPUAllocator: ")[2] or text
    match = re.match(r".*? is free\.", text)
    short = match.group() if match else re.split(r"(?<=\.)\s|\sException raised", text)[0]
    return short if short.endswith(".") else f"{short}."


def to_cpu(value: Any, copy: bool = False) -> Any:
    """Move the tensors of nested dicts, lists and tuples to the CPU.

    Args:
        value: a state.
        copy: whether the result must not change with `value`: tensors that are on the CPU already
            are cloned, other objects copied as deeply.
    """
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=copy)
    if isinstance(value, dict):
        moved = shallow_copy(value)  # with the attributes that a state dict may have
        moved.update({key: to_cpu(item, copy) for key, item in value.items()})
        return moved
    if isinstance(value, list | tuple):
        items = [to_cpu(item, copy) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return deepcopy(value) if copy else value
