"""Measure what a second CPU thread gains, alone on the machine and beside a busy process.

python scripts/benchmark_threads.py [--threads 2] [--seconds 0.7]

Prints the table "Threads" of docs/benchmarks.md: milliseconds of a forward and backward pass of a
generator, medians over three turns in which the numbers of threads alternate.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gantrain.engine.threads import PIXELS_PER_POSITION
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator

TURNS = 3
RESNETS = (
    (16, 1, 32, 4),
    (16, 3, 32, 4),
    (32, 3, 32, 4),
    (32, 6, 64, 1),
    (64, 6, 64, 1),
    (64, 6, 128, 1),
)
STYLEGANS = ((512, 16, 4), (1024, 32, 8), (4096, 32, 8), (4096, 64, 8))
Case = tuple[str, nn.Module, Tensor, int]  # name, generator, input, side of the image


def cases() -> Iterator[Case]:
    """Yield the generators of the table."""
    for ngf, blocks, side, images in RESNETS:
        x = torch.rand(images, 3, side, side)
        yield f"resnet, ngf {ngf}, {blocks} blocks", ResnetGenerator(3, 3, ngf, blocks), x, side
    for base, side, images in STYLEGANS:
        G = StyleGAN2Generator([side, side], 3, 0, channel_base=base, channel_max=512)
        yield f"StyleGAN2, channel_base {base}", G, torch.randn(images, G.z_dim), side


def milliseconds(network: nn.Module, x: Tensor, threads: int, seconds: float) -> float:
    """Return the median time of a forward and backward pass."""
    torch.set_num_threads(threads)
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        network(x).square().mean().backward()
        network.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[1:])


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def compare(case: Case, threads: int, seconds: float) -> str:
    """Return two cells: the times with one and with several threads, and their ratio."""
    turns: dict[int, list[float]] = {1: [], threads: []}
    for count in [1, threads] * TURNS:
        turns[count].append(milliseconds(case[1], case[2], count, seconds))
    one, several = (statistics.median(turns[count]) for count in (1, threads))
    return f"{one:.1f}, {several:.1f} | {one / several:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="compared with one thread")
    parser.add_argument("--seconds", type=float, default=0.7, help="of one measurement")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads available")
    for case in cases():
        name, network, x, side = case
        weights = [p.numel() for p in network.parameters() if p.dim() > 1]
        work = statistics.median(weights) * len(x) * side**2 / PIXELS_PER_POSITION
        quiet = compare(case, arguments.threads, arguments.seconds)
        with busy_process():
            busy = compare(case, arguments.threads, arguments.seconds)
        print(f"| {name} | {side} | {len(x)} | {work / 1e6:.0f} | {quiet} | {busy} |", flush=True)


if __name__ == "__main__":
    main()
