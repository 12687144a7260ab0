"""Step time and peak memory of CycleGAN: reference mode against fast, fp32 and bf16, per size.

python scripts/benchmark.py [--sizes 64 128] [--steps 7] [--batch 1] [--ngf 64] [--device auto]

Every row runs in a process of its own (peak memory is per process). Rows of one size take turns, so
that a machine that slows down slows all of them; the figure is the median over all turns, the ratio
is to the first row of the same size. Prints a Markdown table with the machine and the versions.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from gantrain.engine.memory import peak_gigabytes
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision, pick_device
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.cyclegan import CycleGAN

ROWS = [  # name, mode, precision, compile
    ("reference fp32", "reference", "fp32", False),
    ("fast fp32", "fast", "fp32", False),
    ("reference bf16", "reference", "bf16", False),
    ("fast bf16", "fast", "bf16", False),
]
CUDA_ROWS = [
    ("fast tf32", "fast", "tf32", False),
    ("fast bf16 compiled", "fast", "bf16", True),
]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of `args.steps` steps after three to warm up, and the peak memory, of one row."""
    device = pick_device(args.device)
    precision = Precision(device, args.precision)
    images = ImageSpec({"a": 3, "b": 3}, (args.size, args.size))
    # The paper's networks: 6 blocks below 256 px, 9 from there on.
    gan = CycleGAN(images, ngf=args.ngf, ndf=args.ngf, mode=args.mode).to(device)
    if args.compile:
        for net in (*gan.G.children(), *gan.D.children()):
            net.compile()
    # Reference mode steps as the reference did: no fused kernels.
    settings = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": args.mode == "fast"}
    runner = PhaseRunner(gan, build_optimizers(gan, torch.optim.Adam, settings), precision, "halt")
    shape = (args.batch, 3, args.size, args.size)
    batch = {name: torch.rand(shape, device=device) * 2 - 1 for name in "ab"}

    def step(index: int) -> float:
        begin = time.perf_counter()
        runner.step([dict(batch)], Step(index, index * args.batch))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    for index in range(3):
        step(index)
    seconds = [step(3 + index) for index in range(args.steps)]
    return {"seconds": seconds, "memory": peak_gigabytes(device)}


def run_row(args: argparse.Namespace, size: int, row: tuple[str, str, str, bool]) -> dict[str, Any]:
    """`measure` in a new process."""
    _, mode, precision, compiled = row
    command = [sys.executable, __file__, "--worker", "--size", str(size), "--mode", mode]
    command += ["--precision", precision, *(["--compile"] if compiled else [])]
    for name in ("steps", "batch", "ngf", "device"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(args: argparse.Namespace) -> None:
    """Run everything and print the table."""
    device = pick_device(args.device)
    rows = ROWS + (CUDA_ROWS if device.type == "cuda" else [])
    print(f"{_machine(device)}; torch {torch.__version__}; {torch.get_num_threads()} threads")
    print(f"\nbatch {args.batch}, ngf {args.ngf}, median of {args.turns * args.steps} steps\n")
    print("| px | mode | ms/step | img/s | x | peak GB |\n|---|---|---|---|---|---|")
    for size in args.sizes:
        turns = [[run_row(args, size, row) for row in rows] for _ in range(args.turns)]
        medians = [
            statistics.median(s for turn in turns for s in turn[i]["seconds"])
            for i in range(len(rows))
        ]
        for i, (name, *_) in enumerate(rows):
            ms, memory = medians[i] * 1e3, max(turn[i]["memory"] for turn in turns)
            speed, ratio = args.batch / medians[i], medians[0] / medians[i]
            print(f"| {size} | {name} | {ms:.0f} | {speed:.2f} | {ratio:.2f} | {memory:.2f} |")


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as file:
            names = {line.split(":")[1].strip() for line in file if line.startswith("model name")}
        return ", ".join(sorted(names))
    except OSError:
        return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--ngf", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args)))
    else:
        table(args)


if __name__ == "__main__":
    main()
