"""The speed of evaluations, and the effect of TF32 on their values."""

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
    """Run the part."""
    device = torch.device(task.device)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    weights = Path(task.scratch, "inception.pth")
    torch.save(Inception().state_dict(), weights)  # random weights are as fast
    extractor = load_extractor("inception", [weights], "clean", device)
    with task.attempt("features"):
        features(task, device, extractor)
    with task.attempt("resize"):
        measure_resize(task, device)
    with task.attempt("KID"):
        measure_kid(task, device)


@torch.no_grad()
def features(task: Task, device: torch.device, extractor: Extractor) -> None:
    """Measure images per second from uint8 images of 256 px, and the effect of TF32 on features."""
    side = task.pick(256, 16)
    images = torch.randint(0, 256, (task.pick(128, 2), 3, side, side), dtype=torch.uint8)
    images = images.to(device)
    results: dict[str, Tensor] = {}
    for precision in ("fp32", "tf32"):
        Precision(device, precision)  # a run sets it before it evaluates
        results[precision] = extractor(images).double()
        for batch in task.pick((32, 128), (2,)):
            part = images[:batch]
            ms = clock.median_ms(lambda part=part: extractor(part), device, task.pick(10, 1), 2)
            task.figure(f"b{batch}", 1e3 * batch / ms, "img/s", of=f"features after {precision}")
        resized = torch.rand(len(images), 3, SIDE, SIDE, device=device) * 255
        net = extractor._network
        ms = clock.median_ms(lambda net=net, x=resized: net(x), device, task.pick(10, 1), 1)
        speed = 1e3 * len(resized) / ms
        task.figure("bare network", speed, "img/s", of=f"features after {precision}")
    difference = (results["tf32"] - results["fp32"]).norm() / results["fp32"].norm()
    spread = results["fp32"].std(0).norm() / results["fp32"].mean(0).norm()
    detail = f"random weights; the spread over the images is {float(spread):.1e}"
    task.figure("effect of TF32 on features", float(difference), "relative norm", detail)


def measure_resize(task: Task, device: torch.device) -> None:
    """Measure resizing from 256 to 299 px, and its difference from the CPU in grey levels."""
    side = task.pick(256, 16)
    images = torch.randint(0, 256, (task.pick(128, 2), 3, side, side), dtype=torch.uint8)
    on_device = images.to(device)
    on_cpu = resize(images, SIDE, "clean")
    for precision in ("fp32", "tf32"):
        Precision(device, precision)
        ms = clock.median_ms(lambda: resize(on_device, SIDE, "clean"), device, task.pick(10, 1))
        difference = (resize(on_device, SIDE, "clean").cpu() - on_cpu).abs()
        of = f"resize after {precision}"
        task.figure("speed", 1e3 * len(images) / ms, "img/s", of=of)
        task.figure("largest difference", float(difference.max()), "levels", of=of)
        task.figure("mean difference", float(difference.mean()), "levels", of=of)


def measure_kid(task: Task, device: torch.device) -> None:
    """Measure the KID between samples of one distribution, and compare it with the CPU's."""
    count = task.pick(50_000, 100)
    real, fake = (torch.randn(count, DIM, device=device) for _ in range(2))
    ms = clock.median_ms(lambda: kid(real, fake), device, repeats=1, warm=0)
    value = kid(real[:10_000], fake[:10_000])
    count_cpu = task.pick(2000, 100)
    on_cpu = kid(real[:count_cpu].cpu(), fake[:count_cpu].cpu())
    on_device = kid(real[:count_cpu], fake[:count_cpu])
    task.figure(f"KID of {count} and {count}", ms / 1e3, "s", f"KID of 10,000: {value:.2e}")
    equal = abs(on_device - on_cpu) < 1e-9
    task.check("KID equals that of the CPU", equal, f"{on_device:.3e}, {on_cpu:.3e}")
