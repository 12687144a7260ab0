"""gantrain train: data, networks and engine put together, from config to finished run."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from torch import Tensor, nn

from gantrain import build
from gantrain.config import derived as auto
from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.data.loader import batches
from gantrain.engine import memory, seeding
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.distributed import environment, slurm
from gantrain.engine.distributed.world import RankLost, World, process_group
from gantrain.engine.init_from import load_weights
from gantrain.engine.phase import NonFiniteGradient
from gantrain.engine.precision import Precision
from gantrain.engine.signals import (
    EXIT_REQUEUE,
    EXIT_STOPPED,
    LAUNCHED,
    Action,
    Signals,
    handle_signals,
)
from gantrain.engine.trainer import Evaluate, Trainer, TrainingPlan
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, ImageSpec, networks_of, spec_of
from gantrain.health.alarms import nonfinite_alarm
from gantrain.io import locks
from gantrain.io.files import disk_full_reason, kimg_label
from gantrain.runs import evaluation, health, lifecycle, objective, resume, summary
from gantrain.runs.directory import RunDirectory
from gantrain.runs.reporting import make_tracker
from gantrain.snapshot import save_snapshot
from gantrain.tracking.tracker import Tracker

FULL = (
    "Nothing more can be written ({why}); the run lies in {out}, and what it saved before is good. "
    "Make room (checkpoint.keep=1 takes least), then the same command, or resume=, goes on with it."
)
NO_MEMORY = (
    "The memory of {device} does not suffice. {shortage} {advice} "
    "(nvidia-smi shows what else uses a GPU.)"
)


def main(config: RunConfig, data: Dataset | None = None) -> float | None:
    """Train, or resume a run. Returns the value of its `objective` if it has one.

    Args:
        data: its data set, not yet prepared; None: it is built here.

    Raises:
        ConfigError: something in config or data does not work; nothing was started.
        SystemExit: 75 after SIGINT or SIGTERM, with a good checkpoint.
    """
    overrides = list(HydraConfig.get().overrides.task)
    if environment.is_rank_zero():
        for warning in config.warnings:
            print(f"Warning: {warning}", file=sys.stderr)
    name = lifecycle.data_name(config)
    if environment.from_environment() is None and config.runtime.devices > 1:
        from gantrain.engine.distributed.launch import launch

        past = resume.find_resumable(config)
        if past and past.result:
            return summary.reprint_result(past, config)
        build.check_devices(config.runtime)
        return launch(config.runtime.devices, run, config, overrides, name)
    try:
        return run(config, overrides, name, data)
    except RankLost as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)
        # At once: Python's own ending may wait for connections that nobody serves any more.
        os._exit(1)


def run(
    config: RunConfig, overrides: list[str], data_name: str, data: Dataset | None = None
) -> float | None:
    """`main` in every rank, after the config has been checked; rank 0 returns the number."""
    own = environment.from_environment()
    lifecycle.check_ranks(config, own)
    precision = build.make_precision(config.runtime, own)
    with process_group(own, precision.device, config.runtime.timeout) as world:
        past = world.first(lambda: lifecycle.find(config))
        if past and past.result:
            return summary.reprint_result(past, config) if world.is_first else None
        try:
            config = lifecycle.recorded_config(config, past)
            existing = past.directory if past else None
            return _run(config, overrides, data_name, data, existing, precision, world)
        except (OSError, RuntimeError, MemoryError) as error:
            if why := disk_full_reason(error):
                raise ConfigError(FULL.format(out=config.out, why=why)) from error
            if memory.is_exhausted(error):
                raise _no_memory(error, precision, "Try a smaller train.batch.") from error
            raise
        finally:
            locks.release_all()


def _run(
    config: RunConfig,
    overrides: list[str],
    data_name: str,
    found_data: Dataset | None,
    existing: RunDirectory | None,
    precision: Precision,
    world: World,
) -> float | None:
    """Train in the existing directory, or in a new one."""
    settings = _plain(config)
    if existing and existing.has_checkpoints():  # which hold all weights
        config = replace(config, init_from=None)
    gan, data, config = _gan_and_data(config, found_data, world)
    plan = build.make_plan(config, data.images_per_epoch, world.size)
    build.prepare_networks(gan, config.runtime, precision.device)

    directory = world.first(lambda: existing or lifecycle.create(config, data_name))
    store = CheckpointStore(directory.checkpoints, config.checkpoint.keep)
    found = world.together(lambda: store.newest()) if existing else None
    lifecycle.check_same_checkpoint(world.gather(found[1]["nimg"] if found else 0), directory)
    if found:
        world.together(lambda: lifecycle.check_shapes(directory, found[1], gan))
    # A run that was killed before its first checkpoint begins again from nothing.
    resumed_at: int | None = found[1]["nimg"] if found else 0 if existing else None
    derived = _derived(plan, gan, data)
    if world.is_first:
        lifecycle.record_config(directory, {**settings, "derived": derived}, overrides)
        if resumed_at is not None:
            directory.truncate_metrics(resumed_at)
    tracker = Tracker([], directory.grids)  # the other ranks are silent
    if world.is_first:
        live, flat = sys.stdout.isatty(), _flat(settings)
        tracker = make_tracker(config, directory, plan, flat, live, resumed_at, sys.stdout)
    try:
        for line in _introduction(directory, plan, gan, precision, resumed_at, world.size):
            tracker.say(line)
        for line in _details(derived):
            tracker.say(line)
        tracker.sinks.append(objective.watch(config, gan, plan, resumed_at or 0))
        if world.is_first:
            tracker.sinks.append(health.make_watchman(config, plan, directory, tracker))
        trainer = _trainer(
            config, settings, gan, data, precision, plan, tracker, store, directory, world
        )
        if found:
            if (last := store.paths()[-1]) != found[0]:
                tracker.say(f"{last} is damaged; going on from the one before it.")
            lifecycle.restore(trainer, found[1], config, tracker)
        return _train(trainer, config, data, directory, tracker)
    except (RuntimeError, MemoryError) as error:
        if memory.is_exhausted(error):
            raise _no_memory(error, precision, _less_memory(plan, precision, directory)) from error
        raise
    finally:
        tracker.close()


def _no_memory(error: BaseException, precision: Precision, advice: str) -> ConfigError:
    shortage = memory.shortage(error)
    return ConfigError(NO_MEMORY.format(device=precision.device, shortage=shortage, advice=advice))


def _less_memory(plan: TrainingPlan, precision: Precision, directory: RunDirectory) -> str:
    """How the run in `directory` can go on with less."""
    smaller = plan.microbatch // 2
    while smaller and plan.microbatch % smaller:
        smaller -= 1
    ways = [f"train.microbatch={smaller}"] if smaller else []
    ways += ["runtime.precision=bf16"] if precision.name != "bf16" else []
    also = "smaller networks or pictures, in a new run, take less, too"
    if not ways:
        return f"{plan.microbatch} image at a time is least: {also}."
    return (
        f"{plan.microbatch} images go through the networks at a time: resume with fewer, "
        f"gantrain resume={directory.path} {' or '.join(ways)}; {also}."
    )


def _gan_and_data(
    config: RunConfig, found_data: Dataset | None, world: World
) -> tuple[GAN, Dataset, RunConfig]:
    """The GAN with its first weights, the data set, checked and cached, and the full config."""
    say: Callable[[str], None] = print if world.is_first else lambda _: None
    data = world.together(lambda: found_data or build.make_data(config))
    full = world.together(lambda: auto.fill_in(config, data.resolution, world.size))
    batch = full.train.batch or 1
    seeding.seed_all(full.seed, seeding.INIT)
    images = ImageSpec(dict(data.channels), data.resolution, data.label_dim, batch)
    gan = world.together(lambda: build.make_gan(full, images))
    source = full.init_from
    if source:
        loaded = world.together(lambda: load_weights(gan, Path(source)))
        say(f"Weights of {', '.join(loaded)} from {source}.")

    def prepare() -> None:  # rank 0 first: the others find the cache that it made
        data.prepare(batch=batch, multiple=gan.size_multiple, log=say)
        summary.check_pairs(gan, data, full.evaluation.test_images, full.objective)
        evaluation.check_metrics(full, gan, data)

    world.one_after_another(prepare)
    return gan, data, full


def _trainer(
    config: RunConfig,
    settings: dict[str, Any],
    gan: GAN,
    data: Dataset,
    precision: Precision,
    plan: TrainingPlan,
    tracker: Tracker,
    store: CheckpointStore,
    directory: RunDirectory,
    world: World,
) -> Trainer:
    # A snapshot is passed on to others: it says nothing of where the pictures lie.
    description = {key: value for key, value in data.describe().items() if key != "folders"}
    about = {"model": config.model, "data": description, "versions": lifecycle.versions()}
    specs = {name: spec_of(network) for name, network in networks_of(gan.G, "G").items()}

    def save(path: Path, nimg: int, generator: nn.Module) -> None:
        meta = {"nimg": nimg, "ema": plan.ema_half_life > 0, **about}
        save_snapshot(path, networks_of(generator, "G"), specs, meta)

    def snapshot(nimg: int, generator: nn.Module) -> None:
        save(directory.snapshots / f"snapshot-{kimg_label(nimg)}.pt", nimg, generator)

    workers = build.data_workers(config.runtime, precision.device, environment.local_size())

    def stream(nimg: int) -> Iterator[dict[str, Tensor]]:
        return batches(
            data,
            start=nimg,
            batch=plan.batch,
            workers=workers,
            pin_memory=precision.device.type == "cuda",
            rank=world.rank,
            world=world.size,
        )

    def judge() -> Evaluate | None:
        if not world.is_first:
            return evaluation.never_called if plan.evaluate_every else None
        return evaluation.make_evaluator(
            config, gan, data, plan, precision, directory, save, tracker.say
        )

    return Trainer(
        gan,
        build.make_optimizers(config, gan),
        precision,
        plan,
        batches=stream,
        tracker=tracker,
        store=store,
        snapshot=snapshot,
        preview=build.preview_batch(data, config.tracking.grid_images) if world.is_first else None,
        evaluate=world.together(judge),
        probe=health.make_probe(config, gan, data, plan, precision) if world.is_first else None,
        channels_last=config.runtime.channels_last,
        note={"settings": settings, "versions": lifecycle.versions()},
        world=world,
    )


def _train(
    trainer: Trainer, config: RunConfig, data: Dataset, directory: RunDirectory, tracker: Tracker
) -> float | None:
    """Train to the end and say how it went, or leave with 75 when asked to stop."""
    try:
        with handle_signals() as signals:
            action = trainer.train(signals.take)
            if action:
                _leave(action, signals, trainer, directory, tracker)
    except NonFiniteGradient as error:
        alarm = nonfinite_alarm(error.phase, error.index, error.origin, False, error.ranks)
        tracker.event(error.index * trainer.plan.batch, asdict(alarm))
        raise SystemExit(1) from None
    if not trainer.world.is_first:
        return None
    return summary.finish(trainer, data, directory, tracker, config)


def _leave(
    action: Action, signals: Signals, trainer: Trainer, directory: RunDirectory, tracker: Tracker
) -> NoReturn:
    """The state is saved: leave with 75, having asked Slurm for another turn if that is wanted."""
    reason = f" by {signals.received.name}" if signals.received else ""
    tracker.say(f"Stopped{reason} at {trainer.nimg / 1000:g} kimg; the state is saved.")
    if action is not Action.REQUEUE:
        tracker.say(f"Continue: gantrain resume={directory.path}")
    elif os.environ.get(LAUNCHED) == "1":
        raise SystemExit(EXIT_REQUEUE)
    else:
        tracker.say(slurm.requeue(signals))
    raise SystemExit(EXIT_STOPPED)


def _plain(config: RunConfig) -> dict[str, Any]:
    settings = asdict(config)
    settings.pop("warnings")
    return settings


def _derived(plan: TrainingPlan, gan: GAN, data: Dataset) -> dict[str, Any]:
    """What follows from the config and the data: budgets in images, networks, sizes, counts."""
    networks = {
        f"{player}.{name}": network.spec
        for player in ("G", "D")
        for name, network in networks_of(getattr(gan, player), player).items()
        if isinstance(getattr(network, "spec", None), dict)
    }
    # Through JSON: tuples and paths become what YAML's safe dialect knows.
    plain = {"plan": asdict(plan), "networks": networks, "data": data.describe()}
    plain["model"] = gan.derived()
    return json.loads(json.dumps(plain, default=str))


def _introduction(
    directory: RunDirectory,
    plan: TrainingPlan,
    gan: GAN,
    precision: Precision,
    resumed_at: int | None,
    size: int,
) -> list[str]:
    def millions(net: nn.Module) -> str:
        return f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M"

    device = precision.device.type if size > 1 else precision.device
    over = f"{plan.batch // size} on each of {size} ranks, " if size > 1 else ""
    grids = f", a grid every {plan.grid_every / 1000:g}" if plan.grid_every else ""
    lines = [
        f"Run directory: {directory.path}",
        f"{type(gan).__name__}: G {millions(gan.G)} parameters, D {millions(gan.D)}; "
        f"{device}, {precision.name}; batch {plan.batch} "
        f"({over}microbatch {plan.microbatch}), {plan.total / 1000:g} kimg in all",
        f"A report every {plan.tick / 1000:g} kimg{grids}, a checkpoint every "
        f"{plan.checkpoint_every / 1000:g}.",
    ]
    if resumed_at is not None:
        lines.append(f"Resuming at {resumed_at / 1000:g} kimg.")
    return lines


def _details(derived: dict[str, Any]) -> Iterator[str]:
    for name, spec in derived["networks"].items():
        arguments = " ".join(f"{key}={value}" for key, value in spec["args"].items())
        yield f"  {name}: {spec['target'].rpartition('.')[2]} {arguments}"
    for name, value in derived["model"].items():
        yield f"  {name}: {value}"


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
