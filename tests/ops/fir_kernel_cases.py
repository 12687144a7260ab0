"""The Triton kernel against plain operations, on a CPU, in Triton's interpreter.

TRITON_INTERPRET=1 python -m tests.ops.fir_kernel_cases OUT.json writes what test_fir_kernel.py
looks at. A process of its own: the interpreter is chosen when Triton is imported.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.ops import fir, fir_kernel, fir_plain

BINOMIAL = fir.fir_taps([1, 3, 3, 1])
ASYMMETRIC = ((0.1, -0.3, 0.7), (0.2, 0.5, -0.4))
SYM6 = tuple(torch.linspace(-1, 2, 12).square().tolist())  # as long as the wavelet
CASES: dict[str, dict[str, Any]] = {
    "up": {"taps": BINOMIAL, "up": 2, "padding": (2, 1, 2, 1), "gain": 4.0},
    "down": {"taps": BINOMIAL, "down": 2, "padding": 1},
    "filter": {"taps": BINOMIAL, "padding": 1},
    "two passes up": {"taps": SYM6, "up": 2, "padding": (6, 5, 6, 5)},
    "two passes down": {"taps": SYM6, "down": 2, "padding": 5, "flip": True},
    "crops": {"taps": ASYMMETRIC, "up": 2, "padding": (-1, 2, 1, -2)},
    "up 3 and 1, down 2": {"taps": ASYMMETRIC, "up": (3, 1), "down": 2, "padding": (5, 6, 7, 4)},
    "up 2, down 2 and 3": {"taps": ASYMMETRIC, "up": 2, "down": (2, 3), "padding": (2, 1, 3, 0)},
    "rows": {"taps": (ASYMMETRIC[0],), "up": (2, 1), "padding": (2, 1, 0, 0)},
    "columns": {"taps": tuple((tap,) for tap in ASYMMETRIC[0]), "down": (1, 3), "flip": True},
    "one tap": {"taps": ((1.0,),)},
}
SMALL = ((2, 1, 7, 8), (2, 2, 8, 7))  # the second in channels_last
SEVERAL_BLOCKS = ((1, 1, 3, 270), (1, 130, 3, 2))
SIZES = {"filter": SEVERAL_BLOCKS, "up": SEVERAL_BLOCKS}
DTYPES = {"up": (torch.float32, torch.float64, torch.bfloat16)}


def compute(way: Any, x: Tensor, case: dict[str, Any]) -> list[Tensor]:
    """The result of this way, and its gradient, a resampling by the same way."""
    fir._compute = way
    x = x.clone().requires_grad_(True)
    y = fir.upfirdn2d(x, **case)
    (grad,) = torch.autograd.grad(y.double().square().sum(), x)
    return [y.detach(), grad]


def compare(case: dict[str, Any], dtype: torch.dtype, size: tuple[int, ...], last: int) -> float:
    """The largest difference relative to the largest value; infinite for wrong dtypes, layouts."""
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(size).to(dtype).contiguous(memory_format=layout)
    worst = 0.0
    for found, expected in zip(
        compute(fir_kernel.resample, x, case), compute(fir_plain.resample, x, case), strict=True
    ):
        alike = found.dtype == x.dtype and found.is_contiguous(memory_format=layout)
        error = (found.double() - expected.double()).abs().max() / expected.abs().max()
        worst = max(worst, float(error) if alike else float("inf"))
    return worst


def main() -> None:
    torch.manual_seed(0)
    found = {
        name: {
            str(dtype): max(
                compare(case, dtype, size, last) for last, size in enumerate(SIZES.get(name, SMALL))
            )
            for dtype in DTYPES.get(name, (torch.float64,))
        }
        for name, case in CASES.items()
    }
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
