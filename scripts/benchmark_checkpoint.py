"""Measure for how long a checkpoint of StyleGAN2 stops a training, and how it slows it down.

python scripts/benchmark_checkpoint.py [--size 256] [--turns 5] [--threads 2] [--folder .]

The state is that of a run with the published widths: G, D, Adam's moments of both, the average of
G. In every turn it is saved while nothing else happens, and from a copy beside forward passes of G
(one image), which stand for the training. Prints medians and minima over the turns.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gantrain.engine.background import Background
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.ema import EMA
from gantrain.engine.memory import to_cpu
from gantrain.engine.optim import build_optimizers
from gantrain.engine.precision import pick_device
from gantrain.gans.base import ImageSpec, networks_of
from gantrain.gans.stylegan import StyleGAN


def make(size: int, device: torch.device) -> tuple[StyleGAN, Callable[[], dict[str, Any]]]:
    """Return the GAN, and a function that returns the large parts of its training's state."""
    gan = StyleGAN(ImageSpec({"image": 3}, (size, size), batch=8)).to(device)
    average = EMA(gan.G, 10_000)
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 2e-3, "betas": (0.0, 0.99)})
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.full_like(parameter, 1e-3)
        optimizer.step()  # makes the moments

    def state() -> dict[str, Any]:
        moments = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
        return {"gan": gan.state_dict(), "ema": average.network.state_dict(), "optimizers": moments}

    return gan, state


def measure(args: argparse.Namespace, folder: Path) -> tuple[dict[str, list[float]], int]:
    """Return seconds by what they are of, and the size of the file in bytes."""
    device = pick_device(args.device)
    gan, state = make(args.size, device)
    G, latents = networks_of(gan.G, "G")["G"], torch.randn(1, 512, device=device)
    store, background = CheckpointStore(folder, 1), Background()
    names = ("saved at once", "copied", "written beside", "pass alone", "pass beside")
    seconds: dict[str, list[float]] = {name: [] for name in names}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds[name].append(time.perf_counter() - begin)
        return result

    @torch.no_grad()
    def step() -> None:
        G(latents)

    step()
    for _ in range(args.turns):
        path = timed("saved at once", lambda: store.save(1, state()))
        for _ in range(5):
            timed("pass alone", step)
        copy, written = timed("copied", lambda: to_cpu(state(), copy=True)), threading.Event()

        def write(copy: Any = copy, written: threading.Event = written) -> None:
            timed("written beside", lambda: store.save(1, copy))
            written.set()

        background.submit(write)
        while not written.is_set():
            timed("pass beside", step)
        background.wait()
    return seconds, path.stat().st_size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", default=".", help="on the disk to be written to")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        seconds, size = measure(args, Path(folder))
    print(f"{size / 1e6:.0f} MB, {args.threads} threads, {args.turns} turns")
    print("| | median ms | least ms |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values) * 1e3:.0f} | {min(values) * 1e3:.0f} |")


if __name__ == "__main__":
    main()
