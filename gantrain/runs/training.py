"""One training run: assemble data, networks and engine, and train from the config to the end."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from gantrain import build
from gantrain.config.check import flatten
from gantrain.config.derived import fill_in as fill_in_defaults
from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.data.independent import IndependentBatches
from gantrain.data.loader import Indexable, batches, measure_item
from gantrain.engine import forecast, memory, seeding, threads
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.distributed import environment, slurm
from gantrain.engine.distributed.world import World, process_group
from gantrain.engine.init_from import load_weights
from gantrain.engine.phase import NonFiniteGradient
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision
from gantrain.engine.reporting import Evaluate
from gantrain.engine.signals import (
    EXIT_REQUEUE,
    EXIT_STOPPED,
    LAUNCHED,
    Action,
    Signals,
    handle_signals,
)
from gantrain.engine.timing import Timer
from gantrain.engine.trainer import Trainer
from gantrain.errors import ConfigError, RunError, shown
from gantrain.gans.base import GAN, ImageSpec, networks_of
from gantrain.health.alarms import nonfinite_alarm
from gantrain.inference.pictures import look_of_columns
from gantrain.io import locks
from gantrain.io.files import disk_full_reason, kimg_label
from gantrain.networks.spec import spec_of
from gantrain.runs import (
    data_changes,
    evaluation,
    health,
    lifecycle,
    objective,
    recording,
    sizes,
    summary,
)
from gantrain.runs.directory import RunDirectory
from gantrain.runs.introduction import derived_lines, introduction_lines
from gantrain.runs.reporting import make_tracker
from gantrain.runs.resume import ExistingRun
from gantrain.snapshot import save_snapshot
from gantrain.tracking.tracker import Tracker
from gantrain.tracking.waiting import waiting

DISK_FULL = (
    "Writing failed ({why}). Everything already saved in {out} is intact. Make room "
    "(checkpoint.keep=1 needs least), then repeat the command or use resume=."
)
OUT_OF_MEMORY = (
    "Out of memory on {device}. {shortage} {advice} (nvidia-smi shows what else uses a GPU.)"
)
FORECAST_SIDE = 64  # pixels; with smaller images the first steps say soon how long it takes
FORECAST_IMAGES = 1000  # in the budget; fewer are done before a day is over


def run(
    config: RunConfig, overrides: list[str], data_name: str, data: Dataset | None = None
) -> summary.Ended | None:
    """Train in every rank. Rank 0 returns the directory and the value of the objective.

    Args:
        config: the checked config.
        overrides: as typed, to be recorded.
        data_name: the choice of data=, for the name of a new run directory.
        data: the data set, not yet prepared; None: it is built here.
    """
    process = environment.from_environment()
    lifecycle.check_ranks(config, process)
    precision = build.make_precision(config.runtime, process)
    with process_group(process, precision.device, config.runtime.timeout) as world:
        existing = world.run_on_rank_zero(lambda: lifecycle.find(config))
        if existing and existing.result:
            return summary.reprint_result(existing, config) if world.is_rank_zero else None
        try:
            config = lifecycle.recorded_config(config, existing)
            return _run(config, overrides, data_name, data, existing, precision, world)
        except (OSError, RuntimeError, MemoryError) as error:
            where = existing.directory.path if existing else Path(config.out, config.name or "")
            if why := disk_full_reason(error):
                raise RunError(DISK_FULL.format(out=where, why=why)) from error
            if memory.is_exhausted(error):
                raise _out_of_memory(error, precision, "Try a smaller train.batch.") from error
            raise
        finally:
            locks.release_all()


def _run(
    config: RunConfig,
    overrides: list[str],
    data_name: str,
    unprepared_data: Dataset | None,
    found: ExistingRun | None,
    precision: Precision,
    world: World,
) -> summary.Ended | None:
    """Train in the directory that was found, or in a new one."""
    settings = recording.plain_settings(config)
    existing = found.directory if found else None
    if existing and existing.has_checkpoints():  # they hold all weights
        config = replace(config, init_from=None)
    gan, data, config = _gan_and_data(config, unprepared_data, world)
    changes = world.run_on_rank_zero(lambda: _data_changes(config, found, data))
    plan = build.make_plan(config, data.images_per_epoch, world.size)
    build.prepare_networks(gan, config.runtime, precision.device)
    if config.runtime.threads is None and precision.device.type == "cpu":
        threads.use_threads(threads.choose_threads(gan.G, plan.microbatch, data.resolution))
    directory = world.run_on_rank_zero(lambda: existing or lifecycle.create(config, data_name))
    checkpoints = CheckpointStore(directory.checkpoints, config.checkpoint.keep)
    newest = world.run_on_all(lambda: checkpoints.newest()) if existing else None
    world.run_on_all(lambda: newest and lifecycle.check_shapes(directory, newest[1], gan))
    lifecycle.check_same_checkpoint(world.gather(newest[1]["nimg"] if newest else 0), directory)
    # A run that was killed before its first checkpoint restarts from 0 images.
    resumed_at: int | None = newest[1]["nimg"] if newest else 0 if existing else None
    derived = recording.derived(plan, gan, data)
    if world.is_rank_zero:
        lifecycle.record_config(directory, {**settings, "derived": derived}, overrides)
        if resumed_at is not None:
            directory.truncate_metrics(resumed_at)
    tracker = _tracker(config, settings, directory, plan, resumed_at, world)
    try:
        introduction = introduction_lines(directory, plan, gan, precision, resumed_at, world.size)
        work = threads.choose_threads(gan.G, plan.microbatch, data.resolution, available=2)
        advice = filter(None, [precision.advice(work)])
        for line in [*introduction, *advice, *changes, *derived_lines(derived)]:
            tracker.say(line)
        tracker.sinks.append(objective.watch(config, gan, plan, resumed_at or 0))
        if world.is_rank_zero:
            tracker.sinks.append(health.make_alarm_sink(config, plan, directory, tracker))
        trainer = _trainer(
            config, settings, gan, data, precision, plan, tracker, checkpoints, directory, world
        )
        if newest:
            if (last := checkpoints.paths()[-1]) != newest[0]:
                tracker.say(f"{last} is damaged: resuming from the previous checkpoint.")
            lifecycle.restore(trainer, newest[1], config, tracker)
        return _train(trainer, config, data, directory, tracker)
    except (RuntimeError, MemoryError) as error:
        if memory.is_exhausted(error):
            advice = _memory_advice(plan, precision, directory)
            raise RunError(*_out_of_memory(error, precision, advice).problems) from error
        raise
    finally:
        tracker.close(sys.exc_info()[1])


def _out_of_memory(error: BaseException, precision: Precision, advice: str) -> ConfigError:
    text = OUT_OF_MEMORY.format(
        device=precision.device, shortage=memory.shortage(error), advice=advice
    )
    return ConfigError(text)


def _memory_advice(plan: TrainingPlan, precision: Precision, directory: RunDirectory) -> str:
    """Suggest how to resume the run with less memory."""
    smaller = plan.microbatch // 2
    while smaller and plan.microbatch % smaller:
        smaller -= 1
    settings = [f"train.microbatch={smaller}"] if smaller else []
    settings += ["runtime.precision=bf16"] if precision.name != "bf16" else []
    new_run = "a new run with smaller networks or images needs less memory, too"
    if not settings:
        return f"A microbatch of {plan.microbatch} is the smallest: {new_run}."
    return (
        f"The microbatch is {plan.microbatch}: resume with less, "
        f"gantrain {shown(f'resume={directory.path}')} {' or '.join(settings)}; {new_run}."
    )


def _gan_and_data(
    config: RunConfig, unprepared_data: Dataset | None, world: World
) -> tuple[GAN, Dataset, RunConfig]:
    """Return the GAN with its initial weights, the prepared data set, and the completed config."""
    say: Callable[[str], None] = print if world.is_rank_zero else lambda _: None
    data = world.run_on_all(lambda: unprepared_data or build.make_data(config))
    start = world.run_on_all(lambda: data_changes.continue_augmentation(config))
    full = world.run_on_all(lambda: fill_in_defaults(start, data.resolution, world.size))
    batch = full.train.batch or 1
    seeding.seed_all(full.seed, seeding.INIT)
    scale = getattr(data, "label_scale", None)  # sets of plug-ins may have none
    micro = build.microbatch_size(full.train, world.size)
    images = ImageSpec(dict(data.channels), data.resolution, data.label_dim, batch, scale, micro)
    with waiting("building the networks"):
        gan = world.run_on_all(lambda: build.make_gan(full, images))
    if source := full.init_from:
        loaded = world.run_on_all(lambda: load_weights(gan, Path(source)))
        say(f"Loaded the weights of {', '.join(loaded)} from {source}.")

    def prepare() -> None:
        sizes.check_resolution(gan, data)
        with waiting("reading the images"):
            data.prepare(batch=batch, multiple=gan.size_multiple, log=say)
        sizes.check_images(gan, data)
        summary.check_pairs(gan, data, full.evaluation.test_images, full.objective)
        evaluation.check_metrics(full, gan, data)

    world.rank_zero_first(prepare)  # the others use the cache that rank 0 writes
    data_changes.check_ranks(world.gather(recording.plain(data.describe())))
    return gan, data, full


def _data_changes(config: RunConfig, found: ExistingRun | None, data: Dataset) -> list[str]:
    """Return sentences about images other than those that the weights were trained on."""
    present = recording.plain(data.describe())
    if found:
        old = data_changes.of_settings(found.directory.read_config())
        return data_changes.check_resumed(old, present, found.directory.path, found.is_forced)
    if config.init_from is None:
        return []
    return data_changes.check_start(config.init_from, config.model, present)


def _trainer(
    config: RunConfig,
    settings: dict[str, Any],
    gan: GAN,
    data: Dataset,
    precision: Precision,
    plan: TrainingPlan,
    tracker: Tracker,
    checkpoints: CheckpointStore,
    directory: RunDirectory,
    world: World,
) -> Trainer:
    description = recording.description(data)
    about = {"model": settings["model"], "data": description, "versions": lifecycle.versions()}
    specs = {name: spec_of(network) for name, network in networks_of(gan.G, "G").items()}

    def save(path: Path, nimg: int, generator: nn.Module) -> None:
        meta = {"nimg": nimg, "ema": bool(plan.ema_half_life), **about}
        save_snapshot(path, networks_of(generator, "G"), specs, meta)

    def snapshot(nimg: int, generator: nn.Module) -> None:
        save(directory.snapshots / f"snapshot-{kimg_label(nimg)}.pt", nimg, generator)

    def make_evaluator() -> Evaluate | None:
        if not world.is_rank_zero:
            return evaluation.never_called if plan.evaluate_every else None
        return evaluation.make_evaluator(
            config, data, plan, precision, directory, save, tracker.say
        )

    source = IndependentBatches(data, gan.real_batches)
    preview = None
    if world.is_rank_zero:
        preview = build.preview_batch(data, config.tracking.grid_images)
        tracker.rows, tracker.show = build.preview_names(data, preview), data.describe().get("show")
    return Trainer(
        gan,
        build.make_optimizers(config, gan),
        precision,
        plan,
        batches=_batch_stream(config, source, precision, plan, world),
        tracker=tracker,
        checkpoints=checkpoints,
        snapshot=snapshot,
        preview=preview,
        evaluate=world.run_on_all(make_evaluator),
        probe=health.make_probe(config, gan, data, plan, precision) if world.is_rank_zero else None,
        channels_last=config.runtime.channels_last,
        metadata={
            "settings": settings,
            "networks": recording.specs(gan),
            "data": recording.plain(description),
            "versions": lifecycle.versions(),
        },
        world=world,
        recorded=build.make_recorded(gan, config.runtime, tracker.say),
        look=look_of_columns(description),
    )


def _batch_stream(
    config: RunConfig, data: Indexable, precision: Precision, plan: TrainingPlan, world: World
) -> Callable[[int], Iterator[dict[str, Tensor]]]:
    """Return (nimg) -> this rank's batches from that image on."""

    def stream(nimg: int) -> Iterator[dict[str, Tensor]]:
        item, ranks = measure_item(data, nimg), environment.local_size()
        return batches(
            data,
            start=nimg,
            batch=plan.batch,
            workers=build.data_workers(config.runtime, precision.device, item, ranks),
            pin_memory=precision.device.type == "cuda",
            rank=world.rank,
            world=world.size,
            local_ranks=ranks,
        )

    return stream


def _train(
    trainer: Trainer, config: RunConfig, data: Dataset, directory: RunDirectory, tracker: Tracker
) -> summary.Ended | None:
    """Train to the end and print the summary, or exit with 75 when asked to stop."""
    if advice := _forecast(trainer, data):
        tracker.say(advice)
    try:
        with handle_signals(directory.mark_ending) as signals:
            action = trainer.train(_poll(config, signals, trainer.world), signals.interruptible)
            if action:
                _exit_stopped(action, signals, trainer, directory, tracker)
    except ConfigError as error:  # images that cannot be loaded any more, weights of metrics, ...
        saved = ""
        if (nimg := trainer.saver.saved_nimg) > 0:
            saved = f" The state at {nimg / 1000:g} kimg is saved: once this is "
            saved += f"mended, resume with gantrain {shown(f'resume={directory.path}')}"
        *others, last = error.problems
        if not saved:
            raise
        raise RunError(*others, f"{last}{saved}") from error
    except NonFiniteGradient as error:
        alarm = nonfinite_alarm(error.phase, error.index, error.origin, False, error.ranks)
        tracker.event(error.index * trainer.plan.batch, asdict(alarm))
        raise SystemExit(1) from None
    if not trainer.world.is_rank_zero:
        return None
    return summary.finish(trainer, data, directory, tracker, config)


def _tracker(
    config: RunConfig,
    settings: dict[str, Any],
    directory: RunDirectory,
    plan: TrainingPlan,
    resumed_at: int | None,
    world: World,
) -> Tracker:
    """Return the tracker of a rank; those other than rank 0 report nothing."""
    if not world.is_rank_zero:
        return Tracker([], directory.grids)
    is_live, flat = sys.stdout.isatty(), dict(flatten(settings))
    return make_tracker(config, directory, plan, flat, is_live, resumed_at, sys.stdout)


def _forecast(trainer: Trainer, data: Dataset) -> str | None:
    """Return a sentence about how long the training will take, if that is days on a CPU."""
    is_new, total = trainer.nimg == 0, trainer.plan.total
    if trainer.precision.device.type != "cpu" or trainer.world.size > 1 or not is_new:
        return None
    if max(data.resolution) < FORECAST_SIDE or total < FORECAST_IMAGES:
        return None
    count = min(trainer.plan.microbatch, 2)
    items = [*map(IndependentBatches(data, trainer.gan.real_batches).item, range(count))]
    batch = {name: np.stack([item[name] for item in items]) for name in items[0]}
    images = trainer.to_device({name: torch.from_numpy(x) for name, x in batch.items()})
    with waiting("timing one pass"):
        try:
            seconds = forecast.seconds_per_image(trainer.gan, images, trainer.precision)
        except (RuntimeError, MemoryError) as error:
            if memory.is_exhausted(error):  # of the second copy; the training itself may fit
                return None
            raise
    return forecast.advice(seconds, total, max(data.resolution))


def _poll(config: RunConfig, signals: Signals, world: World) -> Callable[[], Action]:
    """Return () -> what to do before the next step: what a signal or the clock asks for."""
    # Of one rank's clock: the others take part in what it asks for.
    timer = Timer(config.checkpoint.every_minutes if world.is_rank_zero else None)
    return lambda: (
        signals.pop_request() or (Action.CHECKPOINT if timer.rings() else Action.CONTINUE)
    )


def _exit_stopped(
    action: Action, signals: Signals, trainer: Trainer, directory: RunDirectory, tracker: Tracker
) -> NoReturn:
    """Exit with 75 after the state was saved, and requeue the Slurm job if requested."""
    reason = f" by {signals.received.name}" if signals.received else ""
    tracker.say(f"Stopped{reason} at {trainer.nimg / 1000:g} kimg; the state is saved.")
    if action is not Action.REQUEUE:
        tracker.say(f"To resume: gantrain {shown(f'resume={directory.path}')}")
    elif os.environ.get(LAUNCHED) == "1":
        raise SystemExit(EXIT_REQUEUE)
    else:
        tracker.say(slurm.requeue(signals))
    raise SystemExit(EXIT_STOPPED)
