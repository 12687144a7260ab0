"""A GAN with everything that its phases need, built from a config as in `gantrain train`."""

import dataclasses
import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from gantrain import build
from gantrain.config import derived, paths
from gantrain.config.train import RunConfig
from gantrain.config.train import load as load_run_config
from gantrain.engine import seeding
from gantrain.engine.memory import peak_gigabytes
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.targets import resolve

from . import clock
from .task import Task
from .trace import Profile

TINY = {
    "cyclegan": ["ngf=2", "ndf=2", "blocks=1", "d_layers=1"],
    "cut": ["ngf=4", "ndf=4", "blocks=3", "d_layers=1", "head_width=8", "num_patches=64"],
    "pix2pix": ["generator=resnet", "ngf=2", "ndf=2", "blocks=1", "d_layers=1"],
    "stylegan": ["z_dim=8", "w_dim=8", "channel_base=128", "channel_max=8"],
    "stylegan3": ["z_dim=8", "w_dim=8", "channel_base=64", "channel_max=8"],
    "r3gan": ["z_dim=8", "channel_base=128", "channel_max=16"],
    "dcgan": ["z_dim=8", "g_width=8", "d_width=2"],
}


def tiny(model: str) -> list[str]:
    """Return overrides for tiny networks."""
    return [f"model.{setting}" for setting in TINY[model]]


def make_config(task: Task, model: str, side: int, *overrides: str) -> RunConfig:
    """Return the checked and completed config of a run on shapes of `side` pixels."""
    if not task.on_cuda:  # a CPU has no tf32
        overrides = tuple(text.replace("precision=tf32", "precision=fp32") for text in overrides)
    all_overrides = [
        f"model={model}",
        "data=shapes",
        f"data.resolution={side}",
        f"runtime.device={task.device}",
        "runtime.workers=0",
        *(tiny(model) if task.quick else []),
        *overrides,
    ]
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        config = load_run_config(compose("train", all_overrides), typed_keys=[])
    return derived.fill_in(config, (side, side))


@dataclass
class Rig:
    """A GAN that is ready to train.

    Attributes:
        config: the completed config.
        gan: the networks on the device.
        runner: runs the phases.
        precision: the device and the format.
        batch: float images [N, 3, side, side] on the device, by stream.
        size: images per batch.
        index: of the next step.
    """

    config: RunConfig
    gan: GAN
    runner: PhaseRunner
    precision: Precision
    batch: Batch
    size: int
    index: int = 0

    @property
    def device(self) -> torch.device:
        """The device of the networks."""
        return self.precision.device

    @property
    def phases(self) -> list[Phase]:
        """The phases of the GAN."""
        return self.gan.phases()

    def run(self, phase: Phase, batch: Batch) -> None:
        """Take one optimizer step of a phase, regardless of its interval."""
        self.runner.phases = [dataclasses.replace(phase, interval=1)]
        self.runner.step([batch], Step(self.index, self.index * self.size))


def make_gan(config: RunConfig, side: int) -> tuple[GAN, Precision]:
    """Return the GAN on the device, in the layout of the config."""
    precision = build.make_precision(config.runtime)
    seeding.seed_all(config.seed, seeding.INIT)
    takes = resolve(config.model)[0].takes
    streams = ("image",) if takes == "images" else ("a", "b")
    images = ImageSpec(dict.fromkeys(streams, 3), (side, side), batch=config.train.batch or 1)
    gan = build.make_gan(config, images)
    build.prepare_networks(gan, config.runtime, precision.device)
    return gan, precision


def streams_of(gan: GAN) -> list[str]:
    """Return the names of the images that a step takes."""
    streams = ["image"] if gan.takes == "images" else ["a", "b"]
    return streams + [f"{i}/{name}" for i in range(1, gan.real_batches) for name in streams]


def make_rig(task: Task, model: str, side: int, *overrides: str) -> Rig:
    """Return a GAN for a config, with random images."""
    config = make_config(task, model, side, *overrides)
    gan, precision = make_gan(config, side)
    optimizers = build.make_optimizers(config, gan)
    backend = "inductor" if task.on_cuda else "aot_eager"  # on a CPU, inductor takes minutes
    recorded = build.make_recorded(gan, config.runtime, print, backend)
    runner = PhaseRunner(gan, optimizers, precision, "halt", recorded=recorded)
    runner.check_immediately = False  # on a CPU, too: the check is not part of the benchmark
    layout = torch.channels_last if config.runtime.channels_last else torch.contiguous_format
    size = config.train.batch or 1
    batch = {
        name: (torch.rand(size, 3, side, side, device=precision.device) * 2 - 1).contiguous(
            memory_format=layout
        )
        for name in streams_of(gan)
    }
    return Rig(config, gan, runner, precision, batch, size)


@dataclass
class Measurement:
    """The result of `measure`.

    Attributes:
        times: milliseconds of every run, by phase.
        intervals: steps between two runs, by phase.
        profiles: of one run, by phase.
        gigabytes: peak memory in 10^9 bytes.
    """

    times: dict[str, list[float]]
    intervals: dict[str, int]
    profiles: dict[str, Profile]
    gigabytes: float

    def amortised(self, values: dict[str, float]) -> float:
        """Return the sum of values by phase, each weighted by 1 / interval."""
        return sum(value / self.intervals[name] for name, value in values.items())

    @property
    def step_ms(self) -> float:
        """The amortised time of a step, from medians."""
        return self.amortised({n: statistics.median(x) for n, x in self.times.items()})

    @property
    def mean_step_ms(self) -> float:
        """The amortised time of a step, from means."""
        return self.amortised({n: statistics.fmean(x) for n, x in self.times.items()})


def measure(rig: Rig, folder: Path, warm: int, rounds: int, seconds: float) -> Measurement:
    """Time all phases, then run each once under the profiler.

    Args:
        rig: the GAN.
        folder: for temporary files of the profiler.
        warm: number of warm-up rounds.
        rounds: maximum number of timed rounds.
        seconds: stop after this time.
    """
    phases, end = rig.phases, time.monotonic() + seconds
    clock.reset_peak(rig.device)
    times: dict[str, list[float]] = {phase.name: [] for phase in phases}
    for number in range(warm + rounds):
        watch = clock.Stopwatch(rig.device)
        batch = dict(rig.batch)  # a phase may add entries for the next one
        watch.mark()
        for phase in phases:
            rig.run(phase, batch)
            watch.mark()
        rig.index += 1
        round_times = watch.read()
        if number >= warm:
            for phase, ms in zip(phases, round_times, strict=True):
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
    return Measurement(times, intervals, profiles, gigabytes)


def report(task: Task, name: str, size: int, result: Measurement) -> None:
    """Report a row of the table: phases, step, speed, memory, kernels and idle time."""
    for phase, times in result.times.items():
        every = f" /{k}" if (k := result.intervals[phase]) > 1 else ""
        task.figure(f"{phase}{every}", statistics.median(times), "ms", of=name)
    step = result.step_ms
    task.figure("step", step, "ms", of=name)
    task.figure("mean step", result.mean_step_ms, "ms", of=name)
    task.figure("speed", 1e3 * size / step, "img/s", of=name)
    task.figure("time", step / size, "s/kimg", of=name)
    task.figure("peak", result.gigabytes, "GB", of=name)
    kernels = result.amortised({n: float(p.kernels) for n, p in result.profiles.items()})
    busy = result.amortised({n: p.busy_ms for n, p in result.profiles.items()})
    task.figure("kernels per step", round(kernels), of=name)
    idle = round(max(0.0, 100 - 100 * busy / step), 1) if busy else None
    task.figure("device idle", idle, "%", of=name)


def report_top(task: Task, name: str, result: Measurement, count: int = 10) -> None:
    """Report the kernels (on a CPU, the operations) that take most of an amortised step."""
    by_kernel: dict[str, float] = {}
    for phase, profile in result.profiles.items():
        for kernel, ms in profile.top.items():
            by_kernel[kernel] = by_kernel.get(kernel, 0.0) + ms / result.intervals[phase]
    total = sum(by_kernel.values())
    for kernel, ms in sorted(by_kernel.items(), key=lambda pair: -pair[1])[:count]:
        share = f"{100 * ms / total:.1f} % of {name}"
        task.figure(f"top: {kernel[:90]}", ms, "ms per step", share)


def free_memory() -> None:
    """Release what a deleted rig held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Variant:
    """A row of the table: its name, images per batch, and overrides."""

    name: str
    batch: int
    overrides: Sequence[str]


def run_variant(
    task: Task, model: str, side: int, variant: Variant, seconds: float, top: bool = False
) -> None:
    """Build, measure and report one variant. An error becomes a failed check.

    Args:
        task: the part.
        model: the choice of model=.
        side: resolution in pixels.
        variant: the row of the table.
        seconds: time for measuring, approximately.
        top: whether to report the slowest kernels, too.
    """
    free_memory()  # an attempt that failed may still hold some
    with task.attempt(variant.name):
        overrides: list[Any] = [*variant.overrides, f"train.batch={variant.batch}"]
        rig = make_rig(task, model, side, *overrides)
        warm, rounds = task.pick((4, 40), (1, 1))
        result = measure(rig, Path(task.scratch), warm, rounds, seconds)
        report(task, variant.name, variant.batch, result)
        if top:
            report_top(task, variant.name, result)
        del rig
    free_memory()
