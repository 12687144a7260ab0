"""The limits of the GPU itself: how fast it copies and multiplies."""

from pathlib import Path

import torch

from gantrain.engine.precision import Precision

from . import clock
from .task import Task


def run(task: Task) -> None:
    """Run the part."""
    device = torch.device(task.device)
    describe(task)
    measure_copies(task, device)
    measure_products(task, device)
    result = clock.profiled(lambda: torch.ones(8, device=device) + 1, device, Path(task.scratch))
    if task.on_cuda:  # the counts of other parts depend on it
        task.check("the profiler sees kernels", result.kernels > 0, f"{result.kernels} of them")


def describe(task: Task) -> None:
    """Report the versions of torch and CUDA, and the GPU."""
    task.fact("torch and CUDA", f"{torch.__version__}, CUDA {torch.version.cuda}")
    task.fact("cuDNN", str(torch.backends.cudnn.version()) if task.on_cuda else "not used")
    if not task.on_cuda:
        task.fact("device", f"CPU, {torch.get_num_threads()} threads: a rehearsal")
        return
    gpu = torch.cuda.get_device_properties(0)
    size = f"{gpu.total_memory / 1e9:.0f} GB, {gpu.multi_processor_count} multiprocessors"
    task.fact("device", f"{gpu.name}, {size}, capability {gpu.major}.{gpu.minor}")


def measure_copies(task: Task, device: torch.device) -> None:
    """Measure copies in GB/s; a copy on the device counts as a read and a write."""
    count = task.pick(1 << 28, 1 << 16)
    x = torch.zeros(count, device=device)
    y = torch.empty_like(x)
    ms = clock.median_ms(lambda: y.copy_(x), device)
    task.figure("copy", 8 * count / ms / 1e6, "GB/s", f"{4 * count / 1e6:.0f} MB of float32")
    host = torch.zeros(count // 4, pin_memory=task.on_cuda)
    ms = clock.median_ms(lambda: y[: count // 4].copy_(host, non_blocking=True), device)
    task.figure("copy from pinned memory", count / ms / 1e6, "GB/s")


def measure_products(task: Task, device: torch.device) -> None:
    """Measure a product of square matrices in each floating-point format."""
    side = task.pick(8192, 128)
    for name in ("fp32", "tf32", "bf16"):
        precision = Precision(device, name)
        x = torch.randn(side, side, device=device)
        x = x.bfloat16() if precision.name == "bf16" else x
        ms = clock.median_ms(lambda x=x: x @ x, device)
        task.figure(f"{side} x {side} product, {name}", 2 * side**3 / ms / 1e9, "TFLOP/s")
