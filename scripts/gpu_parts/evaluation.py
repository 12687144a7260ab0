"""How fast a run is measured, and how much the number format moves what is measured."""

from pathlib import Path

import torch
from torch import Tensor

from gantrain.engine.precision import Precision
from gantrain.metrics.extractor import Extractor, load_extractor
from gantrain.metrics.inception import DIM, SIDE, Inception
from gantrain.metrics.kid import kid
from gantrain.metrics.resize import resize

from . import clock
from .task import Task


def run(task: Task) -> None:
    device = torch.device(task.device)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    weights = Path(task.scratch, "inception.pth")
    torch.save(Inception().state_dict(), weights)  # random ones are as fast
    extractor = load_extractor("inception", [weights], "clean", device)
    with task.attempt("features"):
        features(task, device, extractor)
    with task.attempt("resize"):
        resized(task, device)
    with task.attempt("KID"):
        kernel_distance(task, device)


@torch.no_grad()
def features(task: Task, device: torch.device, extractor: Extractor) -> None:
    """Images per second from uint8 pictures of 256 px, and how far TF32 moves their features."""
    side = task.pick(256, 16)
    images = torch.randint(0, 256, (task.pick(128, 2), 3, side, side), dtype=torch.uint8)
    images = images.to(device)
    found: dict[str, Tensor] = {}
    for precision in ("fp32", "tf32"):
        Precision(device, precision)  # as a run has set it before it measures
        found[precision] = extractor(images).double()
        for batch in task.pick((32, 128), (2,)):
            part = images[:batch]
            ms = clock.median_ms(lambda part=part: extractor(part), device, task.pick(10, 1), 2)
            task.figure(f"b{batch}", 1e3 * batch / ms, "img/s", of=f"features after {precision}")
        ready = torch.rand(len(images), 3, SIDE, SIDE, device=device) * 255
        net = extractor._network
        ms = clock.median_ms(lambda net=net, x=ready: net(x), device, task.pick(10, 1), 1)
        speed = 1e3 * len(ready) / ms
        task.figure("bare network", speed, "img/s", of=f"features after {precision}")
    off = (found["tf32"] - found["fp32"]).norm() / found["fp32"].norm()
    spread = found["fp32"].std(0).norm() / found["fp32"].mean(0).norm()
    detail = f"random weights; the pictures' own spread is {float(spread):.1e}"
    task.figure("features moved by TF32", float(off), "relative norm", detail)


def resized(task: Task, device: torch.device) -> None:
    """256 -> 299 px, and against the same on the CPU, in grey levels."""
    side = task.pick(256, 16)
    images = torch.randint(0, 256, (task.pick(128, 2), 3, side, side), dtype=torch.uint8)
    there = images.to(device)
    theirs = resize(images, SIDE, "clean")
    for precision in ("fp32", "tf32"):
        Precision(device, precision)
        ms = clock.median_ms(lambda: resize(there, SIDE, "clean"), device, task.pick(10, 1))
        off = (resize(there, SIDE, "clean").cpu() - theirs).abs()
        of = f"resize after {precision}"
        task.figure("speed", 1e3 * len(images) / ms, "img/s", of=of)
        task.figure("off, most", float(off.max()), "levels", of=of)
        task.figure("off, mean", float(off.mean()), "levels", of=of)


def kernel_distance(task: Task, device: torch.device) -> None:
    """KID between features that are one distribution (0), as `gantrain evaluate` computes it."""
    count = task.pick(50_000, 100)
    real, fake = (torch.randn(count, DIM, device=device) for _ in range(2))
    ms = clock.median_ms(lambda: kid(real, fake), device, repeats=1, warm=0)
    value = kid(real[:10_000], fake[:10_000])
    few = task.pick(2000, 100)
    theirs = kid(real[:few].cpu(), fake[:few].cpu())
    ours = kid(real[:few], fake[:few])
    task.figure(f"KID of {count} and {count}", ms / 1e3, "s", f"KID of 10,000: {value:.2e}")
    task.check("KID is that of the CPU", abs(ours - theirs) < 1e-9, f"{ours:.3e}, {theirs:.3e}")
