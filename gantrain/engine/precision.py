"""Device and number formats."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from gantrain.ops.precision import allow_tf32

PrecisionName = Literal["fp32", "tf32", "bf16"]
_AMPERE = (8, 0)  # compute capability; older cards have no TF32


class Precision:
    """fp32: IEEE everywhere; tf32: CUDA's 10-bit products; bf16: autocast in forward passes.

    Sets torch's process-wide TF32 switches, since torch's own default would let "fp32"
    convolutions run in TF32.

    Args:
        name: "auto" is what the references ran in: tf32 on a CUDA device that has it, else fp32.
    """

    def __init__(self, device: torch.device, name: PrecisionName | Literal["auto"]) -> None:
        self.device = device
        self.name: PrecisionName = (
            ("tf32" if _has_tf32(device) else "fp32") if name == "auto" else name
        )
        allow_tf32(self.name != "fp32")

    def autocast(self) -> AbstractContextManager[Any]:
        """Context for forward passes; losses and backward stay outside of it or in float32."""
        if self.name != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def without_autocast(self) -> "Precision":
        """The same device with forward passes in float32; the TF32 switches stay as they are."""
        exact = copy.copy(self)
        exact.name = "fp32"
        return exact


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _AMPERE


def unavailable_reason(device: torch.device) -> str:
    """Why `device` cannot be used here, "" if it can: "torch sees no CUDA device here"."""
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            return "torch sees no CUDA device here"
        if (device.index or 0) >= count:
            return f"the CUDA devices here are cuda:0 to cuda:{count - 1}"
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "torch sees no Apple GPU here"
    return ""


def pick_device(name: str) -> torch.device:
    """ "auto" is the first of cuda, mps, cpu that is there; else the named device."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
