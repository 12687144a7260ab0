"""How much memory a run has taken."""

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
