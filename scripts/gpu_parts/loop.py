"""The cost of the training loop beside the phases: reports, grids, probes, files, data."""

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from gantrain import build
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.trainer import Trainer
from gantrain.runs import training

from . import clock, program
from .rigs import Rig, free_memory, make_config, make_rig, measure
from .task import Task

# Methods of Trainer beside its steps. A probe is part of a report.
EXTRAS = {"_report": "report", "_show_grid": "grid", "_save": "checkpoint", "_snapshot": "snapshot"}
PROBE = "_run_probe"


class Watch:
    """Measures the seconds and calls of methods, waiting for the device before and after each.

    Attributes:
        seconds: total time by method.
        calls: number of calls by method, and of steps.
        first_step: when the first step started.
        last_step: when the last step ended.
        between: seconds of the extras between steps.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.first_step = self.last_step = 0.0
        self._before = self.between = 0.0

    @property
    def extras(self) -> float:
        """Seconds of all methods but the probe, which is part of a report."""
        return sum(self.seconds[name] for name in EXTRAS.values())

    def extra(self, name: str, method: Callable[..., Any], trainer: Any, *args: Any, **kw: Any):
        """Call a method of the trainer, and measure it."""
        device = trainer.precision.device
        clock.sync(device)
        begin = time.perf_counter()
        try:
            return method(trainer, *args, **kw)
        finally:
            clock.sync(device)
            self.seconds[name] += time.perf_counter() - begin  # type: ignore[assignment]
            self.calls[name] += 1

    def step(self, method: Callable[..., Any], runner: PhaseRunner, *args: Any) -> None:
        """Run a step, and measure when."""
        if not self.first_step:
            self.first_step, self._before = time.perf_counter(), self.extras
        self.between = self.extras - self._before
        method(runner, *args)
        self.last_step = time.perf_counter()
        self.calls["step"] += 1


def patch_methods(watch: Watch, stack: ExitStack) -> list[str]:
    """Patch the methods to be measured, and return those that no longer exist."""
    missing = []
    for method, name in {**EXTRAS, PROBE: "probe"}.items():
        original = getattr(Trainer, method, None)
        if original is None:
            missing.append(f"Trainer.{method}")
            continue

        def timed(
            self: Any, *args: Any, _name: str = name, _original: Any = original, **kw: Any
        ) -> Any:
            return watch.extra(_name, _original, self, *args, **kw)

        stack.enter_context(mock.patch.object(Trainer, method, timed))
    step = PhaseRunner.step

    def counted(self: Any, *args: Any) -> None:
        watch.step(step, self, *args)

    stack.enter_context(mock.patch.object(PhaseRunner, "step", counted))
    return missing


def run(task: Task) -> None:
    """Run the part."""
    bf16 = "runtime.precision=bf16"
    for name, model, batch, kimg, others in (
        ("StyleGAN b32 bf16", "stylegan", 32, 1.4, [bf16, "tracking.health_every_kimg=0.5"]),
        ("CycleGAN b1 bf16", "cyclegan", 1, 0.22, [bf16, "tracking.health_every_kimg=0.1"]),
    ):
        with task.attempt(name):
            compare(task, name, model, task.pick(batch, min(batch, 2)), kimg, others)
        free_memory()


def compare(task: Task, name: str, model: str, batch: int, kimg: float, others: list[str]) -> None:
    """Compare bare phases with a run of the same settings and default reports, grids and files."""
    side = task.pick(256, 16)
    overrides = [f"train.batch={batch}", *others]
    rig: Rig = make_rig(task, model, side, *overrides)
    bare = measure(rig, Path(task.scratch), *task.pick((4, 12), (1, 1)), seconds=4.0)
    del rig
    free_memory()
    rehearsal = [
        "train.kimg=0.008",
        "tracking.every_kimg=0.002",
        "tracking.health_every_kimg=0.004",
    ]
    rehearsal += ["tracking.health_images=2", "tracking.grid_every_kimg=0.004"]
    run_overrides = [
        *overrides,
        "data.train_images=100",
        "data.test_images=10",
        "evaluation.test_images=0",
        "train.epochs=null",
        "lr.unit=image",
        f"runtime.workers={task.pick(8, 0)}",
        "name=loop",
        *task.pick([f"train.kimg={kimg}"], rehearsal),
    ]
    watch, folder = Watch(), task.folder(f"loop-{model}")
    config = make_config(task, model, side, *run_overrides)
    usual = build.make_plan(make_config(task, model, side), 1000)
    working_directory = os.getcwd()
    os.chdir(folder)
    try:
        with ExitStack() as stack:
            if missing := patch_methods(watch, stack):
                detail = f"{', '.join(missing)} does not exist"
                task.check(f"{name}: everything is timed", False, detail)
            training.run(config, run_overrides, "shapes")
    finally:
        os.chdir(working_directory)
    report(task, name, bare.mean_step_ms, watch, usual)
    waits = [row["progress/data_wait"] for row in program.rows(folder / "runs/loop")]
    task.figure("waiting for data", 100 * waits[-1] if waits else None, "%", of=name)


def report(task: Task, name: str, bare: float, watch: Watch, usual: TrainingPlan) -> None:
    """Report milliseconds per step, and the cost of each extra per call and per kimg.

    Args:
        task: the part.
        name: of the row.
        bare: milliseconds of the bare phases per step.
        watch: the measurements of the run.
        usual: the default cadence, for the cost per kimg.
    """
    steps, seconds = watch.calls["step"], watch.last_step - watch.first_step
    task.figure("bare phases", bare, "ms per step", of=name)
    task.figure("steps", steps, of=name)
    task.figure("loop", 1e3 * seconds / steps, "ms per step", of=name)
    without = 1e3 * (seconds - watch.between) / steps
    task.figure("loop without extras", without, "ms per step", of=name)
    every = {
        "report": usual.tick,
        "probe": usual.health_every,
        "grid": usual.grid_every,
        "checkpoint": usual.checkpoint_every,
        "snapshot": usual.snapshot_every,
    }
    for extra, images in every.items():
        if calls := watch.calls[extra]:
            row = partial(task.figure, of=f"{name}: {extra}")
            own = watch.seconds[extra] - (watch.seconds["probe"] if extra == "report" else 0)
            row("calls", calls)
            row("each", own / calls, "s")
            row("usually every", images / 1000, "kimg")
            row("costs", own / calls * 1000 / images if images else None, "s/kimg")
