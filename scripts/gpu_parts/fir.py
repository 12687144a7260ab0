"""StyleGAN2's 4-tap filter: gantrain's way against depthwise convolutions and sums of slices.

On CUDA gantrain's way is a Triton kernel, and compiled its plain operations; on a CPU convolutions.
Every output of a 2x upsampling is a sum of 2 x 2 samples (its polyphase form); downsampling and
plain filtering are sums of 4 samples along each axis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.engine.precision import Precision
from gantrain.ops import fir

from . import clock
from .rigs import free_memory
from .task import Task

TAPS = fir.fir_taps([1, 3, 3, 1])
COMPILED = "compiled"
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # relative to the largest value


@dataclass(frozen=True)
class Shape:
    """A resampling in StyleGAN2 at 256 px: kind, channels and side of its input."""

    kind: str
    channels: int
    side: int

    @property
    def name(self) -> str:
        """The name in the table."""
        return f"{self.kind} {self.channels} at {self.side}"


SHAPES = [
    Shape("up", 64, 128),  # the gradient of D's downsampling
    Shape("up", 128, 64),
    Shape("up", 512, 16),
    Shape("up", 3, 128),  # the image that G's skip connections sum up
    Shape("down", 64, 256),  # D's skip
    Shape("down", 128, 128),
    Shape("down", 512, 32),
    Shape("filter", 64, 257),  # after G's transposed convolution
]


def by_gantrain(x: Tensor, kind: str) -> Tensor:
    """Resample [N, C, H, W] as gantrain does."""
    if kind == "up":
        return fir.upsample2d(x, TAPS)
    if kind == "down":
        return fir.downsample2d(x, TAPS)
    return fir.upfirdn2d(x, TAPS, padding=1)


def by_convolution(x: Tensor, kind: str, taps: Tensor) -> Tensor:
    """Resample with one depthwise convolution; taps [4] in the dtype of x."""
    weight = torch.outer(taps, taps).expand(x.shape[1], 1, -1, -1)
    if kind == "up":
        return F.conv_transpose2d(x, 4 * weight, stride=2, padding=1, groups=x.shape[1])
    return F.conv2d(x, weight, stride=2 if kind == "down" else 1, padding=1, groups=x.shape[1])


def by_slices(x: Tensor, kind: str) -> Tensor:
    """Resample with sums of slices, [N, C, H, W] -> [N, C, H', W']."""
    padded = F.pad(x, (1, 1, 1, 1))
    if kind == "up":
        return upsample_2x(padded)
    step = 2 if kind == "down" else 1
    rows = filter_axis(padded, 2, step)
    return filter_axis(rows, 3, step)


def upsample_2x(padded: Tensor) -> Tensor:
    """Upsample images with a border of 1: 1/4 and 3/4 of neighbours along each axis."""
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


def filter_axis(x: Tensor, dim: int, step: int) -> Tensor:
    """Filter along one axis, and keep every step-th output."""
    count = (x.shape[dim] - len(TAPS)) // step + 1
    parts = []
    for k, tap in enumerate(TAPS):
        own = [slice(None)] * 4
        own[dim] = slice(k, k + step * (count - 1) + 1, step)
        parts.append(tap * x[tuple(own)])
    return parts[0] + parts[1] + parts[2] + parts[3]


def run(task: Task) -> None:
    """Run the part."""
    device = torch.device(task.device)
    Precision(device, "fp32")
    torch.backends.cudnn.benchmark = True
    if task.variant == COMPILED:
        measure_compiled(task, device)
        return
    wrong = 0
    for shape in task.pick(SHAPES, SHAPES[::4]):
        if task.left() < task.pick(25, 5):
            task.skip(f"{shape.name}: no time left")
            continue
        for dtype in (torch.float32, torch.bfloat16):
            for layout in (torch.contiguous_format, torch.channels_last):
                with task.attempt(f"{shape.name}, {format_name(dtype, layout)}"):
                    wrong += compare(task, device, shape, dtype, layout)
        free_memory()
    task.check("all ways agree with slices in float64", not wrong, f"{wrong} do not")
    task.child(COMPILED, 40.0)


def format_name(dtype: torch.dtype, layout: torch.memory_format) -> str:
    """Return the name of a data type and memory layout, such as "bf16 NHWC"."""
    name = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
    return f"{name} {'NHWC' if layout == torch.channels_last else 'NCHW'}"


def random_input(task: Task, device: torch.device, shape: Shape) -> Tensor:
    """Return a random input, of a smaller shape in a quick run."""
    side = shape.side if not task.quick else 17 if shape.side % 2 else 16
    size = (task.pick(32, 2), min(shape.channels, task.pick(512, 4)), side, side)
    return torch.randn(size, device=device)


@torch.no_grad()
def compare(
    task: Task, device: torch.device, shape: Shape, dtype: torch.dtype, layout: torch.memory_format
) -> int:
    """Check and time every method, without gradients, which are resamplings themselves.

    Returns:
        The number of wrong results.
    """
    wrong = 0
    x = random_input(task, device, shape).to(dtype).contiguous(memory_format=layout)
    taps = torch.tensor(TAPS, dtype=dtype, device=device)
    exact = by_slices(x.double(), shape.kind)
    methods: dict[str, Callable[[], Tensor]] = {
        "gantrain": lambda: by_gantrain(x, shape.kind),
        "convolution": lambda: by_convolution(x, shape.kind, taps),
        "slices": lambda: by_slices(x, shape.kind),
    }
    for method, work in methods.items():
        y = work()
        of = f"{shape.name}, {format_name(dtype, layout)}"
        wrong += not check_equal(task, f"{of}: {method}", y, exact)
        report_time(task, of, method, work, x, y)
    return wrong


def check_equal(task: Task, name: str, y: Tensor, exact: Tensor) -> bool:
    """Return whether a result is right up to rounding; report a failed check if not."""
    if y.shape != exact.shape:
        task.check(f"{name} is right", False, f"{[*y.shape]} instead of {[*exact.shape]}")
        return False
    error = float((y.double() - exact).abs().max() / exact.abs().max())
    if error > TOLERANCE[y.dtype]:
        task.check(f"{name} is right", False, f"off by {error:.1e} of the largest value")
        return False
    return True


def report_time(
    task: Task, of: str, method: str, work: Callable[[], Tensor], x: Tensor, y: Tensor
) -> None:
    """Report milliseconds, and GB/s for reading the input and writing the output once."""
    ms = clock.median_ms(work, x.device, repeats=task.pick(10, 2))
    volume = (x.numel() + y.numel()) * x.element_size()
    task.figure(method, ms, "ms", of=of)
    task.figure(f"{method}, rate", volume / ms / 1e6, "GB/s", of=of)


@torch.no_grad()
def measure_compiled(task: Task, device: torch.device) -> None:
    """Measure gantrain's way and slices as the compiler fuses them, for large shapes."""
    backend = "inductor" if task.on_cuda else "eager"
    for shape in (SHAPES[0], SHAPES[4], SHAPES[7]):
        for dtype in (torch.bfloat16, torch.float32):
            name = f"{shape.name}, {format_name(dtype, torch.contiguous_format)}"
            with task.attempt(f"{name}: compiled"):
                x = random_input(task, device, shape).to(dtype)
                exact = by_slices(x.double(), shape.kind)
                for method, way in (("gantrain", by_gantrain), ("slices", by_slices)):
                    fused = torch.compile(way, backend=backend, dynamic=False)
                    work = partial(fused, x, shape.kind)
                    check_equal(task, f"{name}: compiled {method}", work(), exact)
                    report_time(task, name, f"compiled {method}", work, x, work())
