"""Evaluate generators during training: metrics, the best snapshot, and early stopping."""

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import nn

from gantrain.config.train import RunConfig
from gantrain.data.base import Dataset
from gantrain.data.cache import cache_folder
from gantrain.engine.plan import TrainingPlan
from gantrain.engine.precision import Precision
from gantrain.engine.reporting import Evaluate
from gantrain.engine.threads import all_threads
from gantrain.errors import ConfigError, counted
from gantrain.gans.base import GAN, networks_of
from gantrain.inference.evaluation import (
    EvaluationRequest,
    evaluate_latents,
    evaluate_translation,
)
from gantrain.inference.features import FeatureCache
from gantrain.inference.generators import moves_canvas
from gantrain.inference.model import Model
from gantrain.inference.pictures import is_lab
from gantrain.io.files import open_to_append
from gantrain.metrics import requirements, weights
from gantrain.metrics.extractor import load_extractor, load_lpips
from gantrain.metrics.protocol import (
    FEATURES,
    HIGHER_IS_BETTER,
    MetricValue,
    value_names,
)
from gantrain.metrics.requirements import Subject
from gantrain.networks.directions import directions_of
from gantrain.runs import recorded
from gantrain.runs.directory import RunDirectory
from gantrain.runs.lifecycle import versions

BEST_FILE = "best.pt"
_BATCH = 32


def check_metrics(config: RunConfig, gan: GAN, data: Dataset) -> None:
    """Check that the configured metrics apply to the GAN and its data.

    Args:
        config: the checked config.
        gan: what it makes decides which metrics apply.
        data: some metrics need pairs or test images.

    Raises:
        ConfigError: lists every problem found.
    """
    section = config.evaluation
    if not (section.every_kimg or section.every_epochs):
        return
    generators = networks_of(gan.G, "G")
    translates = bool(directions_of(generators))
    has_w = hasattr(generators.get("G"), "mapping")
    subject = subject_of(
        type(gan).__name__,
        data,
        translates=translates,
        has_w=has_w,
        moving=moves_canvas(generators.get("G")),
    )
    found = requirements.problems(section.metrics, subject, section.num_images, "evaluation.")
    if sentences := list(found):
        raise ConfigError(*sentences)


def subject_of(
    algorithm: str,
    data: Dataset,
    *,
    translates: bool,
    has_w: bool,
    moving: bool,
    split: str = "train",
    examples: bool = False,
) -> Subject:
    """Return what metrics need to know about a GAN and its data.

    Args:
        algorithm: name of the GAN.
        data: the prepared data set.
        translates: whether the GAN translates images.
        has_w: whether the generator has StyleGAN's w.
        moving: whether its canvas can be moved.
        split: the images that are compared with generated ones.
        examples: whether examples of an attribute are given.
    """
    if translates:
        real = min(data.test_count(domain) for domain in "ab")
    else:
        real = data.train_count("image") if split == "train" else data.held_count("image")
    first = "a" if translates else "image"
    side = min(data.test_item(first, 0).shape[-2:]) if data.test_count(first) else None
    labels = data.describe().get("labels") or {}
    hint = " Try split=train." if split == "test" and not translates else ""
    return Subject(
        algorithm=algorithm,
        translates=translates,
        pairs=data.has_pairs,
        has_w=has_w,
        moves_canvas=moving,
        channels=(3, 3) if is_lab(data.describe()) else tuple(data.channels.values()),
        side=side,
        real=real,
        hint=hint,
        has_classes=labels.get("kind") in ("class", "multi"),
        examples=examples,
    )


def make_evaluator(
    config: RunConfig,
    data: Dataset,
    plan: TrainingPlan,
    precision: Precision,
    directory: RunDirectory,
    save: Callable[[Path, int, nn.Module], None],
    say: Callable[[str], None],
) -> Evaluate | None:
    """Return the function that evaluates a generator, or None if evaluations are off.

    Args:
        config: the checked config.
        data: the prepared data set.
        plan: the cadence of the evaluations.
        precision: the device.
        directory: that of the run, which gets evaluations.jsonl.
        save: (path, nimg, generator) -> None, writes a snapshot.
        say: receives messages.

    Raises:
        ConfigError: weights are missing.
    """
    section = config.evaluation
    if not plan.evaluate_every:
        return None
    weights = SimpleNamespace(inception=section.inception, lpips=section.lpips)
    settings = SimpleNamespace(extractor=section.extractor, resize=section.resize, weights=weights)
    networks = make_metric_networks(settings, section.metrics, precision.device, fetch=False)
    request = EvaluationRequest(
        section.metrics, section.num_images, "train", 0, 1.0, _BATCH, spread=False
    )
    meta = {"data": data.describe(), "ema": bool(plan.ema_half_life), "model": config.model}
    best = section.best or value_names(section.metrics)[0]
    history = _score_history(directory, best)

    def evaluate(nimg: int, generator: nn.Module) -> tuple[dict[str, float], bool]:
        model = Model(directory.path, networks_of(generator, "G"), meta, precision)
        # The metrics' networks are large; a number that the user asked for holds for them, too.
        with all_threads() if config.runtime.threads is None else nullcontext():
            values = _evaluate(generator, model, data, networks, request)
        append_evaluations(directory.evaluations, values, {"nimg": nimg, "training": True})
        score = _score(values, best)
        if not history or score < min(history):
            save(directory.snapshots / BEST_FILE, nimg, generator)
        history.append(score)
        results = {f"metric/{value.name}": value.value for value in values}
        text = "  ".join(f"{name.removeprefix('metric/')} {x:.5g}" for name, x in results.items())
        say(f"{nimg / 1000:g} kimg: {text}")
        since_best = len(history) - 1 - history.index(min(history))
        stop = section.patience is not None and since_best >= section.patience
        if stop:
            waited = counted(since_best, "evaluation")
            say(f"{best} has not improved for {waited}: stopping early.")
        return results, stop

    return evaluate


def _evaluate(
    generator: nn.Module,
    model: Model,
    data: Dataset,
    networks: FeatureCache,
    request: EvaluationRequest,
) -> list[MetricValue]:
    """Evaluate the networks of `model`, which are parts of `generator`, in evaluation mode."""
    training = generator.training
    generator.eval()
    try:
        if directions_of(model.networks):
            return evaluate_translation(
                model.networks, model, data, networks, request, _no_progress
            )
        return evaluate_latents(model, data, networks, request, _no_progress)
    finally:
        generator.train(training)


def never_called(nimg: int, generator: nn.Module) -> tuple[dict[str, float], bool]:
    """Stand in for the evaluator on other ranks, which receive the values of rank 0."""
    raise AssertionError(f"only rank 0 evaluates: {nimg} images, {type(generator).__name__}")


def _no_progress(_: int) -> None:
    """Ignore the progress: the display of the trainer stays."""


def _score(values: list[MetricValue], best: str) -> float:
    """Return the mean of a metric over the directions, negated if higher is better."""
    scores = [value.value for value in values if value.metric == best]
    mean = sum(scores) / len(scores)
    return -mean if best in HIGHER_IS_BETTER else mean


def _score_history(directory: RunDirectory, best: str) -> list[float]:
    """Return the scores of the run's earlier evaluations, in order, from its file."""
    by_nimg: dict[int, list[float]] = {}
    for row in recorded.rows(directory.evaluations):
        if row.get("training") and row["metric"] == best and row["value"] is not None:
            by_nimg.setdefault(row.get("nimg") or 0, []).append(row["value"])
    sign = -1 if best in HIGHER_IS_BETTER else 1
    return [sign * sum(values) / len(values) for _, values in sorted(by_nimg.items())]


def make_metric_networks(
    config: Any, metrics: list[str], device: Any, *, fetch: bool = True
) -> FeatureCache:
    """Load the networks that metrics need.

    Args:
        config: has the attributes `extractor`, `resize`, `weights` and perhaps `examples`.
        metrics: names of metrics.
        device: where to put the networks.
        fetch: whether to download published weights that are missing.

    Raises:
        ConfigError: weights are missing or do not suffice, or a download failed.
    """
    log = print if fetch else None
    extractor = lpips = None
    if any(name in FEATURES for name in metrics):
        files = []
        if config.extractor == "inception":
            files = weights.find("inception", config.weights.inception, log)
        extractor = load_extractor(config.extractor, files, config.resize, device)
        if "inception_score" in metrics:
            extractor.check_classifier()
        if files and not extractor.digest.startswith(weights.KNOWN["inception"]):
            print(
                f"Warning: {files[0]} is not the published Inception network (its SHA-256 starts "
                f"with {extractor.digest[:8]}): values are not comparable with published ones.",
                file=sys.stderr,
            )
    judges = "separability" in metrics and getattr(config, "examples", None) is not None
    if judges or any(name in ("lpips", "path_length") for name in metrics):
        lpips = load_lpips(weights.find("lpips", config.weights.lpips, log), device)
    return FeatureCache(extractor, lpips, cache_folder(None) / "features")


def append_evaluations(file: Path, values: list[MetricValue], about: dict[str, Any]) -> None:
    """Append values to a file of JSON lines.

    Args:
        file: such as evaluations.jsonl.
        values: the values, one row each.
        about: further keys of every row.

    Raises:
        ConfigError: the file cannot be written.
    """
    shared = {
        **about,
        "versions": versions(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    if file.is_symlink():
        raise ConfigError(f"{file} is a symbolic link, and nothing is written there: give output=.")
    try:
        with open_to_append(file) as target:
            if file.read_bytes()[-1:] not in (b"", b"\n"):  # a line cut short by a crash
                target.write("\n")
            for value in values:
                target.write(json.dumps({**value.to_dict(), **shared}) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written ({error.strerror or error}): give another output=."
        ) from error
