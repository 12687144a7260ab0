"""No step of training waits for the device, in a new run or in a resumed one."""

import dataclasses
import io
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain import build
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.signals import Action
from gantrain.engine.trainer import Trainer

from . import clock
from .rigs import configured, free, make_gan
from .task import Task

WARM, PROFILED = 5, 3  # steps
NEVER = 10**9
BATCH = 4
MODELS = {
    "CycleGAN": ("cyclegan", []),  # its pool of 50 is full after 13 steps
    "StyleGAN with ADA": (  # every phase in every step
        "stylegan",
        ["model.augment_p=0.3", "train.ema_kimg=1", "model.pl_interval=1", "model.r1_interval=1"],
    ),
    "DCGAN": ("dcgan", []),
}


class Silent:
    """A tracker that does nothing."""

    def progress(self, nimg: int) -> None:
        pass

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        pass

    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None:
        pass

    def event(self, nimg: int, event: dict[str, Any]) -> None:
        pass

    def say(self, text: str) -> None:
        print(text)


def make_trainer(task: Task, model: str, overrides: list[str], folder: Path) -> Trainer:
    """A trainer of batches that lie ready in pinned memory; no report or file falls due."""
    side = task.pick(64, 16)
    config = configured(
        task, model, side, f"train.batch={BATCH}", "runtime.precision=bf16", *overrides
    )
    gan, precision = make_gan(task, config, side)
    plan = build.make_plan(config, 1000)
    never = dict.fromkeys(("tick", "checkpoint_every", "total"), NEVER)
    plan: TrainingPlan = dataclasses.replace(
        plan, **never, grid_every=0, snapshot_every=0, health_every=0
    )
    streams = ("a", "b") if gan.takes == "unpaired" else ("image",)
    shape = (BATCH, 3, side, side)
    ready = {name: torch.randint(0, 256, shape, dtype=torch.uint8) for name in streams}
    if task.on_cuda:
        ready = {name: x.pin_memory() for name, x in ready.items()}

    def batches(nimg: int) -> Iterator[dict[str, Tensor]]:
        while True:
            yield ready

    store = CheckpointStore(folder, 1)
    optimizers = build.make_optimizers(config, gan)
    return Trainer(
        gan, optimizers, precision, plan, batches, Silent(), store, snapshot=lambda *_: None
    )


def train(trainer: Trainer, steps: int, at: dict[int, Callable[[], None]]) -> None:
    """So many steps of the trainer's own loop; at[k] is called before its k-th step from here."""
    done = -1

    def ask() -> Action:
        nonlocal done
        done += 1
        at.get(done, lambda: None)()
        return Action.STOP if done >= steps else Action.CONTINUE

    try:
        trainer.train(ask)
    finally:
        clock.forbid_waits("default")


def run(task: Task) -> None:
    for name, (model, overrides) in MODELS.items():
        with task.attempt(name):
            watch(task, name, model, overrides)
        free()


def watch(task: Task, name: str, model: str, overrides: list[str]) -> None:
    """A new run, then one that goes on from its state as a file holds it."""
    first = make_trainer(task, model, overrides, task.folder(f"{model}-new"))
    title = f"{name}: no wait in {watched(task)} steps"
    checked(task, title, first)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    profile_steps(task, name, first)
    saved.seek(0)
    state = torch.load(saved, map_location="cpu", weights_only=True)
    again = make_trainer(task, model, overrides, task.folder(f"{model}-resumed"))
    again.load_state_dict(state)
    checked(task, f"{title} after a resume", again)


def watched(task: Task) -> int:
    """Steps in which nothing may wait."""
    return task.pick(20, 3)


def checked(task: Task, name: str, trainer: Trainer) -> None:
    """Let any wait raise; if one does, go on and list where all of them are."""
    end = WARM + watched(task)
    window: dict[int, Callable[[], None]] = {
        WARM: lambda: clock.forbid_waits("error"),
        end: lambda: clock.forbid_waits("default"),
    }
    try:
        train(trainer, end, window)
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        traceback.print_exc()
        task.check(name, False, "; ".join([place(error), *places(task, trainer)])[:800])
        return
    task.check(name, True)


def place(error: BaseException) -> str:
    """Where in gantrain an error came from: "image_pool.py:47 _query"."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/gantrain/" in frame.filename] or [*frames]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}"


def places(task: Task, trainer: Trainer) -> list[str]:
    """The lines that wait in the next steps, with how often."""
    found: dict[str, int] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(trainer, watched(task), {0: lambda: clock.forbid_waits("warn")})
    for warning in caught:
        if "synchroniz" in str(warning.message):
            where = f"{Path(warning.filename).name}:{warning.lineno}"
            found[where] = found.get(where, 0) + 1
    return [f"{where} ({count} times)" for where, count in found.items()]


def profile_steps(task: Task, name: str, trainer: Trainer) -> None:
    """What the host asks of the device in 3 steps; how long a step takes without the profiler."""
    device = trainer.precision.device
    images = next(trainer.batches(0))

    def steps() -> None:
        for _ in range(PROFILED):
            trainer._step(trainer._to_device(images))

    ms = clock.median_ms(steps, device, repeats=task.pick(10, 1), warm=1) / PROFILED
    found = clock.profiled(steps, device, Path(task.scratch))
    row = {
        "step ms": ms,
        "kernels": found.kernels,
        "launch calls": sum(n for call, n in found.calls.items() if "Launch" in call),
        "cudaStreamSynchronize": found.calls["cudaStreamSynchronize"],
        "cudaEventSynchronize": found.calls["cudaEventSynchronize"],
        "cudaMemcpyAsync": found.calls["cudaMemcpyAsync"],
        "HtoD": found.copies["HtoD"],
        "DtoH": found.copies["DtoH"],
        "pageable": found.pageable,
        "device busy ms": found.busy_ms,
    }
    if found.busy_ms:
        # The profiler slows the host and not the device: busy time with it, whole time without it.
        row["device idle %"] = max(0.0, 100 * (1 - found.busy_ms / (PROFILED * ms)))
    for figure, value in row.items():
        task.figure(figure, value, of=f"{name}, {PROFILED} steps")
