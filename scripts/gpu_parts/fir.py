"""StyleGAN2's 4-tap filter: depthwise convolutions as gantrain has them against sums of slices.

Every output of a doubling is a sum of 2 x 2 samples (its polyphase form); a halving and a plain
filter are sums of 4 samples along each axis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.engine.precision import Precision
from gantrain.ops import fir

from . import clock
from .rigs import free
from .task import Task

TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
COMPILED = "compiled slices"
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # of the largest value


@dataclass(frozen=True)
class Shape:
    """A resampling in StyleGAN2 at 256 px: kind, channels and side of its input."""

    kind: str
    channels: int
    side: int

    @property
    def name(self) -> str:
        return f"{self.kind} {self.channels} at {self.side}"


SHAPES = [
    Shape("up", 64, 128),  # the gradient of D's halving
    Shape("up", 128, 64),
    Shape("up", 512, 16),
    Shape("up", 3, 128),  # G's picture so far
    Shape("down", 64, 256),  # D's skip
    Shape("down", 128, 128),
    Shape("down", 512, 32),
    Shape("filter", 64, 257),  # behind G's transposed convolution
]


def convolved(x: Tensor, kind: str, taps: Tensor) -> Tensor:
    """As gantrain computes it."""
    if kind == "up":
        return fir.upsample2d(x, taps)
    if kind == "down":
        return fir.downsample2d(x, taps)
    return fir.upfirdn2d(x, taps, padding=1)


def sliced(x: Tensor, kind: str) -> Tensor:
    """The same from slices, [N, C, H, W] -> [N, C, H', W']."""
    padded = F.pad(x, (1, 1, 1, 1))
    if kind == "up":
        return doubled(padded)
    step = 2 if kind == "down" else 1
    rows = along(padded, 2, step)
    return along(rows, 3, step)


def doubled(padded: Tensor) -> Tensor:
    """x with a border of 1 -> twice its size: 1/4 and 3/4 of neighbours along each axis."""
    h, w = padded.shape[2] - 2, padded.shape[3] - 2
    weights = ((0.25, 0.75), (0.75, 0.25))

    def term(a: int, b: int, i: int, j: int) -> Tensor:
        part = padded[:, :, a + i : a + i + h, b + j : b + j + w]
        return weights[a][i] * weights[b][j] * part

    def phase(a: int, b: int) -> Tensor:
        return term(a, b, 0, 0) + term(a, b, 0, 1) + term(a, b, 1, 0) + term(a, b, 1, 1)

    rows = [torch.stack([phase(a, 0), phase(a, 1)], dim=-1) for a in (0, 1)]  # [N, C, h, w, 2]
    y = torch.stack(rows, dim=3)  # [N, C, h, 2, w, 2]
    return y.reshape(*padded.shape[:2], 2 * h, 2 * w)


def along(x: Tensor, dim: int, step: int) -> Tensor:
    """The filter along one axis, of which every step-th output is kept."""
    count = (x.shape[dim] - len(TAPS)) // step + 1
    parts = []
    for k, tap in enumerate(TAPS):
        own = [slice(None)] * 4
        own[dim] = slice(k, k + step * (count - 1) + 1, step)
        parts.append(tap * x[tuple(own)])
    return parts[0] + parts[1] + parts[2] + parts[3]


def run(task: Task) -> None:
    device = torch.device(task.device)
    Precision(device, "fp32")
    torch.backends.cudnn.benchmark = True
    if task.variant == COMPILED:
        compiled(task, device)
        return
    wrong = 0
    for shape in task.pick(SHAPES, SHAPES[::4]):
        if task.left() < task.pick(25, 5):
            task.skip(f"{shape.name}: no time left")
            continue
        for dtype in (torch.float32, torch.bfloat16):
            for layout in (torch.contiguous_format, torch.channels_last):
                with task.attempt(f"{shape.name}, {row(dtype, layout)}"):
                    wrong += compare(task, device, shape, dtype, layout)
        free()
    task.check("convolutions and slices agree with slices in float64", not wrong, f"{wrong} do not")
    task.child(COMPILED, 40.0)


def row(dtype: torch.dtype, layout: torch.memory_format) -> str:
    name = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
    return f"{name} {'NHWC' if layout == torch.channels_last else 'NCHW'}"


def picture(task: Task, device: torch.device, shape: Shape) -> Tensor:
    """Random numbers; in a rehearsal of a smaller shape."""
    side = shape.side if not task.quick else 17 if shape.side % 2 else 16
    size = (task.pick(32, 2), min(shape.channels, task.pick(512, 4)), side, side)
    return torch.randn(size, device=device)


@torch.no_grad()
def compare(
    task: Task, device: torch.device, shape: Shape, dtype: torch.dtype, layout: torch.memory_format
) -> int:
    """Equality, and the time of both; without gradients, which are resamplings themselves.

    Returns how many of them are wrong.
    """
    wrong = 0
    x = picture(task, device, shape).to(dtype).contiguous(memory_format=layout)
    taps = torch.tensor(TAPS, device=device)
    exact = sliced(x.double(), shape.kind)
    ways: dict[str, Callable[[], Tensor]] = {
        "convolution": lambda: convolved(x, shape.kind, taps),
        "slices": lambda: sliced(x, shape.kind),
    }
    for way, work in ways.items():
        y = work()
        name = f"{shape.name}, {row(dtype, layout)}: {way}"
        wrong += not equal(task, name, y, exact)
        timed(task, f"{shape.name}, {row(dtype, layout)}", way, work, x, y)
    return wrong


def equal(task: Task, name: str, y: Tensor, exact: Tensor) -> bool:
    """Whether they are, within rounding; if not, that is a failed check."""
    if y.shape != exact.shape:
        task.check(f"{name} is right", False, f"{[*y.shape]} instead of {[*exact.shape]}")
        return False
    off = float((y.double() - exact).abs().max() / exact.abs().max())
    if off > TOLERANCE[y.dtype]:
        task.check(f"{name} is right", False, f"off by {off:.1e} of the largest value")
        return False
    return True


def timed(task: Task, of: str, way: str, work: Callable[[], Tensor], x: Tensor, y: Tensor) -> None:
    """Milliseconds, and the pictures read and written once in gigabytes per second."""
    ms = clock.median_ms(work, x.device, repeats=task.pick(10, 2))
    volume = (x.numel() + y.numel()) * x.element_size()
    task.figure(way, ms, "ms", of=of)
    task.figure(f"{way}, rate", volume / ms / 1e6, "GB/s", of=of)


@torch.no_grad()
def compiled(task: Task, device: torch.device) -> None:
    """The slices as the compiler fuses them, for the largest shape of each kind."""
    backend = "inductor" if task.on_cuda else "eager"
    for shape in (SHAPES[0], SHAPES[4], SHAPES[7]):
        for dtype in (torch.bfloat16, torch.float32):
            name = f"{shape.name}, {row(dtype, torch.contiguous_format)}"
            with task.attempt(f"{name}: compiled"):
                x = picture(task, device, shape).to(dtype)
                fused = torch.compile(sliced, backend=backend, dynamic=False)
                y = fused(x, shape.kind)
                equal(task, f"{name}: compiled slices", y, sliced(x.double(), shape.kind))
                work = lambda x=x, fused=fused, kind=shape.kind: fused(x, kind)  # noqa: E731
                timed(task, name, "compiled slices", work, x, y)
