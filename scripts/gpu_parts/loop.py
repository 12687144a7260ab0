"""What the loop costs beside the phases: reports, grids, probes, files, waiting for pictures."""

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
from gantrain.commands import train
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.trainer import Trainer

from . import clock, program
from .rigs import Rig, configured, free, make_rig, measure
from .task import Task

# The trainer's own methods beside its steps; a probe is timed within the report that asks for it.
EXTRAS = {"_report": "report", "_show_grid": "grid", "_save": "checkpoint", "_snapshot": "snapshot"}
PROBE = "_run_probe"


class Watch:
    """Seconds and calls of some methods; the device is waited for before and after each."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.first = self.last = 0.0  # of the steps
        self._before = self.between = 0.0  # seconds of the extras before them and between them

    @property
    def extras(self) -> float:
        """Seconds of all of them; a probe is within a report."""
        return sum(self.seconds[name] for name in EXTRAS.values())

    def extra(self, name: str, method: Callable[..., Any], trainer: Any, *args: Any, **kw: Any):
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
        if not self.first:
            self.first, self._before = time.perf_counter(), self.extras
        self.between = self.extras - self._before
        method(runner, *args)
        self.last = time.perf_counter()
        self.calls["step"] += 1


def watching(watch: Watch, stack: ExitStack) -> list[str]:
    """Put the watch in front of the methods; what of them is not there any more."""
    gone = []
    for method, name in {**EXTRAS, PROBE: "probe"}.items():
        original = getattr(Trainer, method, None)
        if original is None:
            gone.append(f"Trainer.{method}")
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
    return gone


def run(task: Task) -> None:
    bf16 = "runtime.precision=bf16"
    for name, model, batch, kimg, others in (
        ("StyleGAN b32 bf16", "stylegan", 32, 1.4, [bf16, "tracking.health_every_kimg=0.5"]),
        ("CycleGAN b1 bf16", "cyclegan", 1, 0.22, [bf16, "tracking.health_every_kimg=0.1"]),
    ):
        with task.attempt(name):
            compare(task, name, model, task.pick(batch, min(batch, 2)), kimg, others)
        free()


def compare(task: Task, name: str, model: str, batch: int, kimg: float, others: list[str]) -> None:
    """The same settings as bare phases and as a run, with the default reports, grids and files."""
    side = task.pick(256, 16)
    overrides = [f"train.batch={batch}", *others]
    rig: Rig = make_rig(task, model, side, *overrides)
    bare = measure(rig, Path(task.scratch), *task.pick((4, 12), (1, 1)), seconds=4.0)
    del rig
    free()
    rehearsed = [
        "train.kimg=0.008",
        "tracking.every_kimg=0.002",
        "tracking.health_every_kimg=0.004",
    ]
    rehearsed += ["tracking.health_images=2", "tracking.grid_every_kimg=0.004"]
    given = [
        *overrides,
        "data.train_images=100",
        "data.test_images=10",
        "evaluation.test_images=0",
        "train.epochs=null",
        "lr.unit=image",
        f"runtime.workers={task.pick(8, 0)}",
        "name=loop",
        *task.pick([f"train.kimg={kimg}"], rehearsed),
    ]
    watch, folder = Watch(), task.folder(f"loop-{model}")
    config = configured(task, model, side, *given)
    usual = build.make_plan(configured(task, model, side), 1000)
    here = os.getcwd()
    os.chdir(folder)
    try:
        with ExitStack() as stack:
            if gone := watching(watch, stack):
                task.check(f"{name}: everything is timed", False, f"{', '.join(gone)} is gone")
            train.run(config, given, "shapes")
    finally:
        os.chdir(here)
    report(task, name, bare.mean_step_ms, watch, usual)
    waits = [row["progress/data_wait"] for row in program.rows(folder / "runs/loop")]
    task.figure("waiting for data", 100 * waits[-1] if waits else None, "%", of=name)


def report(task: Task, name: str, bare: float, watch: Watch, usual: TrainingPlan) -> None:
    """Milliseconds a step, and what each of the extras costs a call, and a thousand images where
    it comes as often as in `usual`."""
    steps, inside = watch.calls["step"], watch.last - watch.first
    task.figure("bare phases", bare, "ms a step", of=name)
    task.figure("steps", steps, of=name)
    task.figure("loop", 1e3 * inside / steps, "ms a step", of=name)
    task.figure("loop without extras", 1e3 * (inside - watch.between) / steps, "ms a step", of=name)
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
