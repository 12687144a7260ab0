"""Check that no training step waits for the device, in a new or in a resumed run."""

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
from .rigs import free_memory, make_config, make_gan, streams_of
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
    "StyleGAN3": ("stylegan3", ["model.augment_p=0.3", "model.r1_interval=1"]),
    "R3GAN": ("r3gan", ["model.augment_p=0.3"]),
    "CUT": ("cut", ["model.flip_equivariance=true"]),
    "pix2pix": ("pix2pix", ["model.pool_size=4"]),
    "DCGAN": ("dcgan", []),
}


class Silent:
    """A tracker that only prints messages."""

    def progress(self, nimg: int) -> None:
        """Do nothing."""

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Do nothing."""

    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None:
        """Do nothing."""

    def event(self, nimg: int, event: dict[str, Any]) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Print a message."""
        print(text)


def make_trainer(task: Task, model: str, overrides: list[str], folder: Path) -> Trainer:
    """Return a trainer with batches in pinned memory, and without reports and files."""
    side = task.pick(64, 16)
    config = make_config(
        task, model, side, f"train.batch={BATCH}", "runtime.precision=bf16", *overrides
    )
    gan, precision = make_gan(config, side)
    plan = build.make_plan(config, 1000)
    never = dict.fromkeys(("tick", "checkpoint_every", "total"), NEVER)
    plan: TrainingPlan = dataclasses.replace(
        plan, **never, grid_every=0, snapshot_every=0, health_every=0
    )
    shape = (BATCH, 3, side, side)
    batch = {name: torch.randint(0, 256, shape, dtype=torch.uint8) for name in streams_of(gan)}
    if task.on_cuda:
        batch = {name: x.pin_memory() for name, x in batch.items()}

    def batches(nimg: int) -> Iterator[dict[str, Tensor]]:
        while True:
            yield batch

    store = CheckpointStore(folder, 1)
    optimizers = build.make_optimizers(config, gan)
    return Trainer(
        gan, optimizers, precision, plan, batches, Silent(), store, snapshot=lambda *_: None
    )


def train(trainer: Trainer, steps: int, callbacks: dict[int, Callable[[], None]]) -> None:
    """Run `steps` steps of the trainer's loop; callbacks[k] is called before the k-th of them."""
    done = -1

    def poll_action() -> Action:
        nonlocal done
        done += 1
        callbacks.get(done, lambda: None)()
        return Action.STOP if done >= steps else Action.CONTINUE

    try:
        trainer.train(poll_action)
    finally:
        clock.forbid_waits("default")


def run(task: Task) -> None:
    """Run the part."""
    for name, (model, overrides) in MODELS.items():
        with task.attempt(name):
            check_model(task, name, model, overrides)
        free_memory()


def check_model(task: Task, name: str, model: str, overrides: list[str]) -> None:
    """Check a new run, and one that is resumed from its saved state."""
    first = make_trainer(task, model, overrides, task.folder(f"{model}-new"))
    title = f"{name}: no wait in {checked_steps(task)} steps"
    check_steps(task, title, first)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    profile_steps(task, name, first)
    saved.seek(0)
    state = torch.load(saved, map_location="cpu", weights_only=True)
    resumed = make_trainer(task, model, overrides, task.folder(f"{model}-resumed"))
    resumed.load_state_dict(state)
    check_steps(task, f"{title} after a resume", resumed)


def checked_steps(task: Task) -> int:
    """Return the number of steps in which nothing may wait."""
    return task.pick(20, 3)


def check_steps(task: Task, name: str, trainer: Trainer) -> None:
    """Make any wait raise an error; if one does, list where all of them are."""
    end = WARM + checked_steps(task)
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
        task.check(name, False, "; ".join([location(error), *wait_locations(task, trainer)])[:800])
        return
    task.check(name, True)


def location(error: BaseException) -> str:
    """Return where in gantrain an error was raised, such as "image_pool.py:47 _query"."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/gantrain/" in frame.filename] or [*frames]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}"


def wait_locations(task: Task, trainer: Trainer) -> list[str]:
    """Return the lines that wait in the next steps, and how often."""
    counts: dict[str, int] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(trainer, checked_steps(task), {0: lambda: clock.forbid_waits("warn")})
    for warning in caught:
        if "synchroniz" in str(warning.message):
            where = f"{Path(warning.filename).name}:{warning.lineno}"
            counts[where] = counts.get(where, 0) + 1
    return [f"{where} ({count} times)" for where, count in counts.items()]


def profile_steps(task: Task, name: str, trainer: Trainer) -> None:
    """Report what the host requests of the device in 3 steps, and the time without profiler."""
    device = trainer.precision.device
    images = next(trainer.batches(0))

    def steps() -> None:
        for _ in range(PROFILED):
            trainer._step(trainer.to_device(images))

    ms = clock.median_ms(steps, device, repeats=task.pick(10, 1), warm=1) / PROFILED
    result = clock.profiled(steps, device, Path(task.scratch))
    row = {
        "step ms": ms,
        "kernels": result.kernels,
        "launch calls": sum(n for call, n in result.calls.items() if "Launch" in call),
        "cudaStreamSynchronize": result.calls["cudaStreamSynchronize"],
        "cudaEventSynchronize": result.calls["cudaEventSynchronize"],
        "cudaMemcpyAsync": result.calls["cudaMemcpyAsync"],
        "HtoD": result.copies["HtoD"],
        "DtoH": result.copies["DtoH"],
        "pageable": result.pageable,
        "device busy ms": result.busy_ms,
    }
    if result.busy_ms:
        # The profiler slows down the host only: busy time is with it, the whole time without it.
        row["device idle %"] = max(0.0, 100 * (1 - result.busy_ms / (PROFILED * ms)))
    for figure, value in row.items():
        task.figure(figure, value, of=f"{name}, {PROFILED} steps")
