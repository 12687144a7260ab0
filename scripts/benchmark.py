"""Benchmark every phase: time and peak memory of reference and fast mode in fp32 and bf16.

python scripts/benchmark.py [--model stylegan] [--sizes 64 128] [--batch 8] [--device auto]

Every row runs in its own process, because peak memory is per process. The rows of a size take
turns, so that a machine that slows down affects all of them; times are medians over all turns. A
phase is timed alone and counted 1 / interval times: "ms/step" is the amortised sum, and "x" is the
speedup over the first row of the same size. "GFLOP" are the operations of products and convolutions
in a step, and "of peak" is their rate relative to that of one large matrix product. Prints a
Markdown table with the machine and versions.

In reference mode, CycleGAN runs every pass separately, and StyleGAN2 uses plain versions of its
operations (tests/ops/plain.py), both without fused optimizers. StyleGAN3's reference mode keeps the
oversampled maps of its leaky ReLUs instead of computing them again. DCGAN and R3GAN have no
reference mode.

--networks antialias gives CycleGAN the networks of CUT, and strided CUT those of CycleGAN, so that
the algorithms can be compared.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark_data
import torch
from torch.utils.flop_counter import FlopCounterMode

from gantrain.build import make_recorded, prepare_networks
from gantrain.config.train import RuntimeConfig
from gantrain.engine.memory import peak_gigabytes
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision, pick_device
from gantrain.gans.base import GAN, Batch, ImageSpec, Step
from gantrain.gans.cut import CUT
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.r3gan import R3GAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3
from gantrain.ops import bias_act, fir, modulated_conv
from gantrain.ops.filtered_lrelu import FilteredLeakyReLU

Row = tuple[str, str, str, tuple[str, ...]]  # name, mode, precision, flags
ROWS: list[Row] = [
    ("reference fp32", "reference", "fp32", ()),
    ("fast fp32", "fast", "fp32", ()),
    ("reference bf16", "reference", "bf16", ()),
    ("fast bf16", "fast", "bf16", ()),
]
COMPILED: list[Row] = [
    ("fast fp32 compiled", "fast", "fp32", ("--compile",)),
    ("fast bf16 compiled", "fast", "bf16", ("--compile",)),
]
GRAPHS: list[Row] = [
    ("fast tf32 graphs", "fast", "tf32", ("--graphs",)),
    ("fast bf16 graphs", "fast", "bf16", ("--graphs",)),
    ("fast bf16 compiled, graphs", "fast", "bf16", ("--compile", "--graphs")),
]
TF32: list[Row] = [("fast tf32", "fast", "tf32", ())]
BETAS = dict.fromkeys(("cyclegan", "cut", "fastcut", "dcgan"), (0.5, 0.999))
SIZES = {"cyclegan": [64, 128], "stylegan": [64, 128], "stylegan3": [64, 128], "r3gan": [64, 128]}
SIZES |= {"cut": [64, 128], "fastcut": [64, 128], "dcgan": [32]}
BATCH = {
    "cyclegan": 1,
    "cut": 1,
    "fastcut": 1,
    "stylegan": 8,
    "stylegan3": 8,
    "r3gan": 8,
    "dcgan": 128,
}


class OneModule(AbstractContextManager[None]):
    """Counts everything as one module: torch's hooks on modules fail where R1's input is a leaf."""

    parents = frozenset({"Global"})

    def __exit__(self, *error: object) -> None:
        """Nothing has to be undone."""


def make(args: argparse.Namespace) -> tuple[GAN, tuple[str, ...]]:
    """Return the GAN and the names of its streams.

    --width is ngf of the translators, channel_base of the others; StyleGAN3's channel_max follows
    it.
    """
    side = (args.size, args.size)
    if args.model in ("cyclegan", "cut", "fastcut"):
        width = args.width or 64
        spec = ImageSpec({"a": 3, "b": 3}, side)
        options: dict[str, Any] = {"ngf": width, "ndf": width, "mode": args.mode}
        if args.networks != "published":
            up = "transpose" if args.networks == "strided" else "antialias"
            options |= {"upsample": up, "downsample": args.networks}
        if args.model == "fastcut":
            options |= {"nce_identity": False, "flip_equivariance": True, "lambda_nce": 10.0}
        return (CycleGAN if args.model == "cyclegan" else CUT)(spec, **options), ("a", "b")
    spec = ImageSpec({"image": 3}, side, batch=args.batch)
    if args.model == "dcgan":
        return DCGAN(spec), ("image",)
    if args.model == "r3gan":
        return R3GAN(spec, channel_base=args.width or 24576), ("image", "1/image")
    if args.model == "stylegan3":
        if args.mode == "reference":
            FilteredLeakyReLU.__call__ = FilteredLeakyReLU.plain  # type: ignore[method-assign]
        width = args.width or 32768
        return StyleGAN3(spec, channel_base=width, channel_max=width // 64), ("image",)
    if args.mode == "reference":
        use_plain_operations()
    return StyleGAN(spec, channel_base=args.width or 16384), ("image",)


def use_plain_operations() -> None:
    """Replace the fast operations by the plain versions of the tests."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.ops import plain

    fir.upfirdn2d = plain.upfirdn2d
    modulated_conv.modulated_conv2d = plain.modulated_conv2d
    bias_act.bias_act = plain.bias_act


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Time `args.steps` runs of every phase, after two warm-up runs.

    Returns:
        "seconds" {phase: times}, "intervals" {phase: steps}, and the peak "memory" in 10^9 bytes.
    """
    device = pick_device(args.device)
    precision = Precision(device, args.precision)
    gan, streams = make(args)
    runtime = RuntimeConfig(
        device=args.device,
        devices=1,
        timeout=60,
        lock_timeout=0,
        precision=args.precision,
        compile=args.compile,
        cuda_graphs=args.graphs,
        channels_last=False,
        workers=0,
        deterministic=False,
        threads=None,
    )
    prepare_networks(gan, runtime, device)
    fused = args.mode == "fast" and device.type != "mps"
    settings = {"lr": 2e-4, "betas": BETAS.get(args.model, (0.0, 0.99)), "fused": fused}
    optimizers = build_optimizers(gan, torch.optim.Adam, settings)
    recorded = make_recorded(gan, runtime, lambda line: print(line, file=sys.stderr))
    runner = PhaseRunner(gan, optimizers, precision, "halt", recorded=recorded)
    phases = [p for p in runner.phases if not args.phases or p.name in args.phases]
    shape = (args.batch, 3, args.size, args.size)
    batch: Batch = {name: torch.rand(shape, device=device) * 2 - 1 for name in streams}
    clock = time.process_time if args.cpu_time else time.perf_counter
    seconds: dict[str, list[float]] = {phase.name: [] for phase in phases}
    operations: dict[str, int] = {}
    for index in range(2 + args.steps):
        step_batch = dict(batch)  # a phase may add entries for the next one
        for phase in phases:
            runner.phases = [replace(phase, interval=1)]
            counter = FlopCounterMode(display=False)
            counter.mod_tracker = OneModule()  # type: ignore[assignment]
            begin = clock()
            with counter if index == 1 and not recorded else nullcontext():
                runner.step([step_batch], Step(index, index * args.batch, index))
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[phase.name].append(clock() - begin)
            if index == 1:
                operations[phase.name] = counter.get_total_flops()
    memory = peak_gigabytes(device)
    return {
        "seconds": {name: times[2:] for name, times in seconds.items()},
        "intervals": {phase.name: phase.interval for phase in phases},
        "memory": memory,
        "operations": operations,
        "peak": peak_of_products(device, args.precision),
    }


def peak_of_products(device: torch.device, precision: str) -> float:
    """Return the operations per second of a large matrix product, the best of several."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(2048, 2048, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(7):
        begin = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return 2 * 2048**3 / min(seconds)


def run_row(args: argparse.Namespace, size: int, row: Row) -> dict[str, Any]:
    """Run `measure` in a new process."""
    _, mode, precision, flags = row
    command = [sys.executable, __file__, "--worker", "--size", str(size), "--mode", mode]
    command += ["--precision", precision, *flags]
    for name in ("model", "steps", "batch", "width", "device", "networks"):
        command += [f"--{name}", str(getattr(args, name))]
    command += ["--cpu-time"] if args.cpu_time else []
    command += ["--phases", *args.phases] if args.phases else []
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def run_all(args: argparse.Namespace) -> None:
    """Run all rows and print the table."""
    device = pick_device(args.device)
    rows = [*ROWS, *(TF32 if device.type == "cuda" else []), *(COMPILED if args.compile else [])]
    rows += GRAPHS if args.graphs else []
    if args.model in ("dcgan", "r3gan"):
        rows = [row for row in rows if row[1] == "fast"]
    print(f"{_machine(device)}; torch {torch.__version__}; {torch.get_num_threads()} threads")
    print(f"\n{args.model}, batch {args.batch}, median of {args.turns * args.steps}\n")
    for size in args.sizes or SIZES[args.model]:
        turns = [[run_row(args, size, row) for row in rows] for _ in range(args.turns)]
        print_size(args, size, rows, turns)


def print_size(
    args: argparse.Namespace, size: int, rows: Sequence[Row], turns: list[list[dict[str, Any]]]
) -> None:
    """Print the rows of a size.

    Args:
        args: the command line.
        size: in pixels.
        rows: the rows.
        turns: the results of each row, by turn.
    """
    intervals = turns[0][0]["intervals"]
    heads = [f"{name} /{k}" if k > 1 else name for name, k in intervals.items()]
    print(
        f"| px | mode | {' | '.join(f'{head} ms' for head in heads)} | ms/step | img/s | x | GB "
        "| GFLOP | of peak |"
    )
    print("|---" * (8 + len(heads)) + "|")
    first_step = 0.0
    for i, (name, *_) in enumerate(rows):
        times = {
            phase: statistics.median(s for turn in turns for s in turn[i]["seconds"][phase])
            for phase in intervals
        }
        step = sum(times[phase] / k for phase, k in intervals.items())
        first_step = first_step or step
        memory = max(turn[i]["memory"] for turn in turns)
        phases = " | ".join(f"{seconds * 1e3:.0f}" for seconds in times.values())
        speed = (
            f"{step * 1e3:.0f} | {args.batch / step:.2f} | {first_step / step:.2f} | {memory:.2f}"
        )
        counts = turns[0][i]["operations"]
        products = sum(counts[phase] / k for phase, k in intervals.items())
        peak = max(turn[i]["peak"] for turn in turns)
        share = f"{products / 1e9:.0f} | {products / step / peak:.0%}" if products else "- | -"
        print(f"| {size} | {name} | {phases} | {speed} | {share} |")
    print()


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = {line.split(":")[1].strip() for line in file if line.startswith("model name")}
        return ", ".join(sorted(names))
    except OSError:
        return platform.processor()


def main() -> None:
    """Parse the command line, and run all rows or a single one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", choices=list(SIZES), default="cyclegan")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--batch", type=int, default=0, help="0: 1, 128 (dcgan), 8 (others)")
    parser.add_argument("--width", type=int, default=0, help="0: as published")
    networks = ("published", "strided", "antialias")
    parser.add_argument("--networks", choices=networks, default="published")
    parser.add_argument("--phases", nargs="+", default=[], help="only these, such as G")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cpu-time", action="store_true", help="of all threads: on a busy machine")
    parser.add_argument("--compile", action="store_true", help="also rows with torch.compile")
    parser.add_argument("--graphs", action="store_true", help="also rows with CUDA graphs")
    benchmark_data.add_arguments(parser)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.data:
        return benchmark_data.run(args.sizes or [64, 256], args.turns, args.root)
    args.batch = args.batch or BATCH[args.model]
    if args.worker:
        print(json.dumps(measure(args)))
    else:
        run_all(args)


if __name__ == "__main__":
    main()
