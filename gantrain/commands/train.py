"""gantrain train: data, networks and engine put together, from config to finished run."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import Tensor, nn

from gantrain import auto, build, schema
from gantrain.commands import closing, continuation
from gantrain.data.loader import batches
from gantrain.engine import seeding
from gantrain.engine.checkpoint import CheckpointStore
from gantrain.engine.phase import NonFiniteGradient
from gantrain.engine.precision import Precision
from gantrain.engine.signals import EXIT_STOPPED, listen
from gantrain.engine.trainer import Plan, Trainer
from gantrain.engine.warm_start import load_weights
from gantrain.files import kimg_label
from gantrain.gans.base import GAN, ImageSpec, networks_of, spec_of
from gantrain.schema import RunConfig
from gantrain.snapshot import save_snapshot
from gantrain.tracking.run_directory import RunDirectory
from gantrain.tracking.tracker import Tracker


def main(cfg: DictConfig) -> float | None:
    """Train, or go on with a run. Returns its headline number (lower is better) if it has one.

    Raises:
        ConfigError: something in config or data does not work; nothing was started.
        SystemExit: 75 after SIGINT or SIGTERM, with a good checkpoint.
    """
    config = schema.load(cfg)
    overrides = list(HydraConfig.get().overrides.task)
    for warning in config.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    return run(config, overrides)


def run(config: RunConfig, overrides: list[str]) -> float | None:
    """`main` after the config has been checked."""
    settings = _plain(config)
    existing = continuation.find_existing(config)
    if existing:
        continuation.compare(existing, settings, config.resume_force)
    precision = build.make_precision(config.runtime)
    gan, data, config = _gan_and_data(config)
    plan = build.make_plan(config, data.images_per_epoch)
    build.prepare_networks(gan, config.runtime, precision.device)

    directory = existing or continuation.create(config)
    store = CheckpointStore(directory.checkpoints, config.checkpoint.keep)
    found = store.newest() if existing else None
    if found:
        continuation.check_fit(directory, found[1], gan)
    # A run that was killed before its first checkpoint begins again from nothing.
    resumed_at: int | None = found[1]["nimg"] if found else 0 if existing else None
    derived = _derived(plan, gan, data)
    continuation.record(directory, {**settings, "derived": derived}, overrides)
    if resumed_at is not None:
        directory.truncate_metrics(resumed_at)
    live = sys.stdout.isatty()
    flat = _flat(settings)
    tracker = build.make_tracker(config, directory, plan, flat, live, resumed_at, sys.stdout)
    try:
        for line in _introduction(config, directory, plan, gan, precision.device, resumed_at):
            tracker.say(line)
        for name, spec in derived["networks"].items():
            arguments = " ".join(f"{key}={value}" for key, value in spec["args"].items())
            tracker.say(f"  {name}: {spec['target'].rpartition('.')[2]} {arguments}")
        for name, value in derived["model"].items():
            tracker.say(f"  {name}: {value}")
        trainer = _trainer(config, settings, gan, data, precision, plan, tracker, store, directory)
        if found:
            if (last := store.paths()[-1]) != found[0]:
                tracker.say(f"{last} is damaged; going on from the one before it.")
            continuation.restore(trainer, found[1], config, tracker)
        return _train(trainer, config, data, directory, tracker)
    finally:
        tracker.close()


def _gan_and_data(config: RunConfig) -> tuple[GAN, Any, RunConfig]:
    """The GAN with its first weights, the data set, checked and cached, and the full config."""
    data = build.make_data(config)
    config = auto.complete(config, data.resolution)
    batch = config.train.batch or 1
    seeding.seed_all(config.seed, seeding.INIT)
    images = ImageSpec(
        dict(data.channels), tuple(data.resolution), getattr(data, "label_dim", 0), batch
    )
    gan = build.make_gan(config, images)
    if config.init_from:
        loaded = load_weights(gan, Path(config.init_from))
        print(f"Weights of {', '.join(loaded)} from {config.init_from}.")
    data.prepare(batch=batch, multiple=gan.size_multiple, log=print)
    closing.check_pairs(gan, data, config.evaluation.test_images)
    return gan, data, config


def _trainer(
    config: RunConfig,
    settings: dict[str, Any],
    gan: GAN,
    data: Any,
    precision: Precision,
    plan: Plan,
    tracker: Tracker,
    store: CheckpointStore,
    directory: RunDirectory,
) -> Trainer:
    # A snapshot is passed on to others: it says nothing of where the pictures lie.
    description = {key: value for key, value in data.describe().items() if key != "folders"}
    about = {"model": config.model, "data": description, "versions": continuation.versions()}
    specs = {name: spec_of(network) for name, network in networks_of(gan.G, "G").items()}

    def snapshot(nimg: int, generator: nn.Module) -> None:
        meta = {"nimg": nimg, "ema": plan.ema_half_life > 0, **about}
        path = directory.snapshots / f"snapshot-{kimg_label(nimg)}.pt"
        save_snapshot(path, networks_of(generator, "G"), specs, meta)

    def stream(nimg: int) -> Iterator[dict[str, Tensor]]:
        return batches(
            data,
            start=nimg,
            batch=plan.batch,
            workers=config.runtime.workers,
            pin_memory=precision.device.type == "cuda",
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
        preview=build.preview_batch(data, config.tracking.grid_images),
        channels_last=config.runtime.channels_last,
        note={"settings": settings, "versions": continuation.versions()},
    )


def _train(
    trainer: Trainer, config: RunConfig, data: Any, directory: RunDirectory, tracker: Tracker
) -> float | None:
    """Train to the end and say how it went, or leave with 75 when asked to stop."""
    try:
        with listen() as signals:
            action = trainer.train(signals.take)
    except NonFiniteGradient as error:
        tracker.say(str(error))
        raise SystemExit(1) from None
    if action:
        reason = signals.received.name if signals.received else "request"
        tracker.say(f"Stopped by {reason} at {trainer.nimg / 1000:g} kimg; the state is saved.")
        tracker.say(f"Continue: gantrain resume={directory.path}")
        raise SystemExit(EXIT_STOPPED)
    return closing.finish(trainer, data, directory, tracker, config)


def _plain(config: RunConfig) -> dict[str, Any]:
    settings = asdict(config)
    settings.pop("warnings")
    return settings


def _derived(plan: Plan, gan: GAN, data: Any) -> dict[str, Any]:
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
    config: RunConfig,
    directory: RunDirectory,
    plan: Plan,
    gan: GAN,
    device: torch.device,
    resumed_at: int | None,
) -> list[str]:
    def millions(net: nn.Module) -> str:
        return f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M"

    lines = [
        f"Run directory: {directory.path}",
        f"{type(gan).__name__}: G {millions(gan.G)} parameters, D {millions(gan.D)}; "
        f"{device}, {config.runtime.precision}; batch {plan.batch} "
        f"(microbatch {plan.microbatch}), {plan.total / 1000:g} kimg in all",
    ]
    if resumed_at is not None:
        lines.append(f"Resuming at {resumed_at / 1000:g} kimg.")
    return lines


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
