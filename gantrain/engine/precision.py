"""Devices and floating-point formats."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from gantrain.ops.precision import allow_tf32

PrecisionName = Literal["fp32", "tf32", "bf16"]
_AMPERE = (8, 0)  # compute capability; older cards have no TF32


class Precision:
    """A device and the floating-point format of forward passes on it.

    The constructor sets torch's process-wide TF32 switches, because torch's own default lets
    float32 convolutions run in TF32.

    Args:
        device: where the networks run.
        name: "fp32": IEEE float32 everywhere; "tf32": CUDA products with 10-bit mantissas; "bf16":
            autocast in forward passes; "auto": the format of the references, which is tf32 on a
            CUDA device that has it and fp32 elsewhere.
    """

    def __init__(self, device: torch.device, name: PrecisionName | Literal["auto"]) -> None:
        self.device, self.is_chosen = device, name != "auto"
        self.name: PrecisionName = (
            ("tf32" if _has_tf32(device) else "fp32") if name == "auto" else name
        )
        # For bf16 as well: what autocast leaves in float32 may use TF32.
        allow_tf32(self.name != "fp32")

    def advice(self, threads_of_work: int) -> str | None:
        """Return a sentence if another format would be faster here, else None.

        Args:
            threads_of_work: how many threads a typical layer keeps busy, see `choose_threads`;
                the casts of bf16 cost more than they save where it is 1.
        """
        # Not chosen for the user: bf16 rounds, and resuming elsewhere should need no such CPU.
        if self.device.type != "cpu" or self.is_chosen or threads_of_work == 1:
            return None
        if not has_bf16_instructions():
            return None
        return (
            "This CPU computes in bf16, too: runtime.precision=bf16 is 1.4 to 1.9 times as "
            "fast with networks of published width, and no faster with narrow ones."
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for forward passes. Losses and backward stay outside or in float32."""
        if self.name != "bf16":
            return nullcontext()
        # bfloat16 has the range of float32, so losses need no scaling.
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def without_autocast(self) -> "Precision":
        """Return a copy with forward passes in float32; the TF32 switches stay as they are."""
        full = copy.copy(self)
        full.name = "fp32"
        return full


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _AMPERE


def has_bf16_instructions() -> bool:
    """Return whether the CPU multiplies matrices in bf16."""
    # Unknown to older versions of torch.
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def unavailable_reason(device: torch.device) -> str:
    """Return why `device` cannot be used on this machine, as a clause, or "" if it can."""
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            return "torch finds no CUDA device"
        if (device.index or 0) >= count:
            return f"the CUDA devices of this machine are cuda:0 to cuda:{count - 1}"
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "torch finds no Apple GPU"
    return ""


def pick_device(name: str) -> torch.device:
    """Return the named device; "auto" is the first of cuda, mps and cpu that is available."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
