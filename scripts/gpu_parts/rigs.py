"""A GAN with everything that its phases need, built from a config as `gantrain` builds it."""

import dataclasses
import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from hydra import compose, initialize_config_dir
from torch import nn

from gantrain import build
from gantrain.config import derived, paths
from gantrain.config import train as train_config
from gantrain.config.train import RunConfig
from gantrain.engine import seeding
from gantrain.engine.memory import peak_gigabytes
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step

from . import clock
from .task import Task
from .trace import Profile

TINY = {
    "cyclegan": ["ngf=2", "ndf=2", "blocks=1", "d_layers=1"],
    "stylegan": ["z_dim=8", "w_dim=8", "channel_base=128", "channel_max=8"],
    "dcgan": ["z_dim=8", "g_width=8", "d_width=2"],
}


def tiny(model: str) -> list[str]:
    """Overrides that make a network that costs nothing."""
    return [f"model.{setting}" for setting in TINY[model]]


def configured(task: Task, model: str, side: int, *overrides: str) -> RunConfig:
    """The checked config of a run on shapes of `side` pixels; nothing is left to `auto`."""
    if not task.on_cuda:  # there tf32 is refused
        overrides = tuple(text.replace("precision=tf32", "precision=fp32") for text in overrides)
    given = [
        f"model={model}",
        "data=shapes",
        f"data.resolution={side}",
        f"runtime.device={task.device}",
        "runtime.workers=0",
        *(tiny(model) if task.quick else []),
        *overrides,
    ]
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        config = train_config.load(compose("train", given), typed_keys=[])
    return derived.fill_in(config, (side, side))


@dataclass
class Rig:
    """What runs the phases; `batch` holds float pictures [N, 3, side, side] on the device."""

    config: RunConfig
    gan: GAN
    runner: PhaseRunner
    precision: Precision
    batch: Batch
    size: int  # pictures of a batch
    index: int = 0

    @property
    def device(self) -> torch.device:
        return self.precision.device

    @property
    def phases(self) -> list[Phase]:
        return self.gan.phases()

    def run(self, phase: Phase, batch: Batch) -> None:
        """One optimizer step of one phase, whatever its interval."""
        self.runner.phases = [dataclasses.replace(phase, interval=1)]
        self.runner.step([batch], Step(self.index, self.index * self.size))


def make_gan(task: Task, config: RunConfig, side: int) -> tuple[GAN, Precision]:
    """The networks on the device, in the layout and compiled as the config wants it."""
    precision = build.make_precision(config.runtime)
    seeding.seed_all(config.seed, seeding.INIT)
    streams = ("a", "b") if config.model["_target_"].endswith("CycleGAN") else ("image",)
    images = ImageSpec(dict.fromkeys(streams, 3), (side, side), batch=config.train.batch or 1)
    gan = build.make_gan(config, images)
    if task.on_cuda or not config.runtime.compile:
        build.prepare_networks(gan, config.runtime, precision.device)
        return gan, precision
    # Inductor takes minutes on a CPU: the rehearsal captures the graphs and runs them as they are.
    plain = partialmethod(nn.Module.compile, backend="eager")
    with mock.patch.object(nn.Module, "compile", plain):
        build.prepare_networks(gan, config.runtime, precision.device)
    return gan, precision


def make_rig(task: Task, model: str, side: int, *overrides: str) -> Rig:
    """The rig of a config, and random pictures for it."""
    config = configured(task, model, side, *overrides)
    gan, precision = make_gan(task, config, side)
    optimizers = build.make_optimizers(config, gan)
    runner = PhaseRunner(gan, optimizers, precision, "halt")
    runner.check_immediately = False  # on a CPU, too: no look at every gradient
    layout = torch.channels_last if config.runtime.channels_last else torch.contiguous_format
    size = config.train.batch or 1
    streams = ("a", "b") if gan.takes == "unpaired" else ("image",)
    batch = {
        name: (torch.rand(size, 3, side, side, device=precision.device) * 2 - 1).contiguous(
            memory_format=layout
        )
        for name in streams
    }
    return Rig(config, gan, runner, precision, batch, size)


@dataclass
class Measured:
    """Milliseconds of every run of every phase; profiles; the peak of memory in 10^9 bytes."""

    times: dict[str, list[float]]
    intervals: dict[str, int]
    profiles: dict[str, Profile]
    gigabytes: float

    def amortised(self, values: dict[str, float]) -> float:
        """The sum over the phases of a step, each counted 1 / interval times."""
        return sum(value / self.intervals[name] for name, value in values.items())

    @property
    def step_ms(self) -> float:
        return self.amortised({n: statistics.median(x) for n, x in self.times.items()})

    @property
    def mean_step_ms(self) -> float:
        return self.amortised({n: statistics.fmean(x) for n, x in self.times.items()})


def measure(rig: Rig, folder: Path, warm: int, rounds: int, seconds: float) -> Measured:
    """Run every phase so many times, or for so many seconds, then once under the profiler."""
    phases, end = rig.phases, time.monotonic() + seconds
    clock.forget_peak(rig.device)
    times: dict[str, list[float]] = {phase.name: [] for phase in phases}
    for number in range(warm + rounds):
        watch = clock.Stopwatch(rig.device)
        batch = dict(rig.batch)  # a phase may leave pictures for the next one
        watch.mark()
        for phase in phases:
            rig.run(phase, batch)
            watch.mark()
        rig.index += 1
        took = watch.read()
        if number >= warm:
            for phase, ms in zip(phases, took, strict=True):
                times[phase.name].append(ms)
        if number > warm and time.monotonic() > end:
            break
    gigabytes = peak_gigabytes(rig.device)
    batch, profiles = dict(rig.batch), {}
    for phase in phases:
        profiles[phase.name] = clock.profiled(
            lambda phase=phase: rig.run(phase, batch), rig.device, folder
        )
    rig.runner.check()
    intervals = {phase.name: phase.interval for phase in phases}
    return Measured(times, intervals, profiles, gigabytes)


def report(task: Task, name: str, size: int, found: Measured) -> None:
    """A row of the table: phases, the step, speed, memory, kernels, how idle the device is."""
    for phase, times in found.times.items():
        every = f" /{k}" if (k := found.intervals[phase]) > 1 else ""
        task.figure(f"{phase}{every}", statistics.median(times), "ms", of=name)
    step = found.step_ms
    task.figure("step", step, "ms", of=name)
    task.figure("mean step", found.mean_step_ms, "ms", of=name)
    task.figure("speed", 1e3 * size / step, "img/s", of=name)
    task.figure("time", step / size, "s/kimg", of=name)
    task.figure("peak", found.gigabytes, "GB", of=name)
    kernels = found.amortised({n: float(p.kernels) for n, p in found.profiles.items()})
    busy = found.amortised({n: p.busy_ms for n, p in found.profiles.items()})
    task.figure("kernels a step", round(kernels), of=name)
    idle = round(max(0.0, 100 - 100 * busy / step), 1) if busy else None
    task.figure("device idle", idle, "%", of=name)


def report_top(task: Task, name: str, found: Measured, count: int = 10) -> None:
    """The kernels (on a CPU the operations) that take most of an amortised step."""
    total: dict[str, float] = {}
    for phase, profile in found.profiles.items():
        for kernel, ms in profile.top.items():
            total[kernel] = total.get(kernel, 0.0) + ms / found.intervals[phase]
    everything = sum(total.values())
    for kernel, ms in sorted(total.items(), key=lambda pair: -pair[1])[:count]:
        share = f"{100 * ms / everything:.1f} % of {name}"
        task.figure(f"top: {kernel[:90]}", ms, "ms a step", share)


def free() -> None:
    """What the last rig held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Variant:
    """A row: its name, the pictures of a batch, and the overrides."""

    name: str
    batch: int
    overrides: Sequence[str]


def run_variant(
    task: Task, model: str, side: int, variant: Variant, seconds: float, top: bool = False
) -> None:
    """Build, measure and report one variant; an error is a failed check of its name.

    seconds: about what it may take, on a card.
    """
    free()  # what an attempt that failed still held
    with task.attempt(variant.name):
        overrides: list[Any] = [*variant.overrides, f"train.batch={variant.batch}"]
        rig = make_rig(task, model, side, *overrides)
        warm, rounds = task.pick((4, 40), (1, 1))
        found = measure(rig, Path(task.scratch), warm, rounds, seconds)
        report(task, variant.name, variant.batch, found)
        if top:
            report_top(task, variant.name, found)
        del rig
    free()
