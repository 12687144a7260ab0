"""Measure what a training costs beside its phases: data, averages, reports, grids, checkpoints.

python scripts/benchmark_loop.py [OVERRIDE ...]

Runs `gantrain OVERRIDE ...` in this process and prints the seconds of training, the share of the
phases, and the rest by cause. The start, the first 5 steps and what follows the last one are left
out. Without overrides: CycleGAN on drawn shapes at 64 pixels.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest import mock

from gantrain.cli.entry import run as gantrain
from gantrain.engine.ema import EMA
from gantrain.engine.feed import Feed
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.trainer import Trainer

DEFAULT = [
    "model=cyclegan", "data=shapes", "data.resolution=64", "model.ngf=32", "model.blocks=6",
    "train.kimg=0.2", "train.epochs=null", "lr.unit=image",
]  # fmt: skip
SKIPPED = 5  # steps: they warm caches and start data workers
PARTS: dict[str, tuple[type, str]] = {
    "phases": (PhaseRunner, "step"),
    "waiting for data": (Feed, "fetch"),
    "averages": (EMA, "update"),
    "reports, grids, checkpoints": (Trainer, "_maintain"),
}


def main() -> None:
    """Train, and print the table."""
    seconds: defaultdict[str, float] = defaultdict(float)
    times: list[float] = []  # the end of every step

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            result = function(*args, **kwargs)
            if len(times) >= SKIPPED:
                seconds[name] += time.perf_counter() - begin
            return result

        return call

    def stamped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> None:
            function(*args)
            times.append(time.perf_counter())

        return call

    overrides = sys.argv[1:] or DEFAULT
    with tempfile.TemporaryDirectory() as folder:
        for name, (kind, method) in PARTS.items():
            function = timed(name, getattr(kind, method))
            wrapped = stamped(function) if method == "_maintain" else function
            mock.patch.object(kind, method, wrapped).start()
        sys.argv = ["gantrain", *overrides, f"out={folder}"]
        code = gantrain()
    if code or len(times) <= SKIPPED:
        sys.exit(code or "The training is too short.")
    total = times[-1] - times[SKIPPED - 1]
    seconds["the rest"] = total - sum(seconds.values())
    print(f"\n{len(times) - SKIPPED} steps: gantrain {' '.join(overrides)}\n")
    print("| part | seconds | % of the phases |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} | {100 * value / seconds['phases']:.2f} |")
    print(f"| beside the phases | {total - seconds['phases']:.2f} "
          f"| {100 * (total / seconds['phases'] - 1):.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
