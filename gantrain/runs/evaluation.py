"""Measuring the generators while they train: values, the best snapshot, and when it is enough."""

import json
import sys
from collections.abc import Callable
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
from gantrain.engine.trainer import Evaluate
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, networks_of
from gantrain.inference.evaluation import (
    EvaluationRequest,
    evaluate_latents,
    evaluate_translation,
)
from gantrain.inference.features import FeatureCache
from gantrain.inference.model import Model
from gantrain.metrics import weights
from gantrain.metrics.extractor import load_extractor, load_lpips
from gantrain.metrics.protocol import (
    FEATURES,
    HIGHER_IS_BETTER,
    MetricValue,
    unsupported_metrics,
    value_names,
)
from gantrain.runs.directory import RunDirectory
from gantrain.runs.lifecycle import versions

BEST = "best.pt"
_BATCH = 32


def check_metrics(config: RunConfig, gan: GAN, data: Dataset) -> None:
    """Raise ConfigError about metrics that this GAN or its data cannot have."""
    if not config.evaluation.every_kimg:
        return
    translates = _translates(gan)
    problems = unsupported_metrics(
        config.evaluation.metrics,
        type(gan).__name__,
        translates=translates,
        pairs=data.has_pairs,
        has_w=hasattr(gan.G, "mapping"),
    )
    told = [f"evaluation.metrics: {problem}" for problem in problems]
    counts = [data.test_count(d) for d in "ab"] if translates else [data.train_count("image")]
    if min(counts) < 6:
        told.append(
            f"evaluation.every_kimg needs 6 real pictures or more to compare with, and there are "
            f"{min(counts)}: add some, or set it to 0."
        )
    if told:
        raise ConfigError(*told)


def _translates(gan: GAN) -> bool:
    return set(networks_of(gan.G, "G")) == {"ab", "ba"}


def make_evaluator(
    config: RunConfig,
    gan: GAN,
    data: Dataset,
    plan: TrainingPlan,
    precision: Precision,
    directory: RunDirectory,
    save: Callable[[Path, int, nn.Module], None],
    say: Callable[[str], None],
) -> Evaluate | None:
    """What the trainer calls; None: nothing is measured. save: (path, nimg, generator)."""
    wanted = config.evaluation
    if not plan.evaluate_every:
        return None
    weights = SimpleNamespace(inception=wanted.inception, lpips=wanted.lpips)
    settings = SimpleNamespace(extractor=wanted.extractor, resize=wanted.resize, weights=weights)
    judge = make_judge(settings, wanted.metrics, precision.device, fetch=False)
    request = EvaluationRequest(
        wanted.metrics, wanted.num_images, "train", 0, 1.0, _BATCH, spread=False
    )
    meta = {"data": data.describe(), "ema": plan.ema_half_life > 0, "model": config.model}
    best = wanted.best or value_names(wanted.metrics)[0]
    history = _history(directory, best)

    def evaluate(nimg: int, generator: nn.Module) -> tuple[dict[str, float], bool]:
        networks = networks_of(generator, "G")
        model = Model(directory.path, networks, meta, precision)
        training = generator.training
        generator.eval()
        try:
            if _translates(gan):
                values = evaluate_translation(networks, model, data, judge, request, _silent)
            else:
                values = evaluate_latents(model, data, judge, request, _silent)
        finally:
            generator.train(training)
        append_evaluations(directory.evaluations, values, {"nimg": nimg, "training": True})
        score = _score(values, best)
        if not history or score < min(history):
            save(directory.snapshots / BEST, nimg, generator)
        history.append(score)
        found = {f"metric/{value.name}": value.value for value in values}
        told = "  ".join(f"{name[7:]} {x:.5g}" for name, x in found.items())
        say(f"{nimg / 1000:g} kimg: {told}")
        since = len(history) - 1 - history.index(min(history))
        enough = wanted.patience is not None and since >= wanted.patience
        if enough:
            say(f"{best} has not become better for {since} measurements: that is enough.")
        return found, enough

    return evaluate


def never_called(nimg: int, generator: nn.Module) -> tuple[dict[str, float], bool]:
    """In place of `make_evaluator`'s on ranks that only wait for the first one's values."""
    raise AssertionError(f"rank 0 alone measures, at {nimg} images {type(generator).__name__}")


def _silent(_: int) -> None:
    """The trainer's own display goes on."""


def _score(values: list[MetricValue], best: str) -> float:
    """The mean over the directions of the metric to go by, turned so that smaller is better."""
    found = [value.value for value in values if value.metric == best]
    mean = sum(found) / len(found)
    return -mean if best in HIGHER_IS_BETTER else mean


def _history(directory: RunDirectory, best: str) -> list[float]:
    """The scores of earlier measurements of this run, from its file."""
    if not directory.evaluations.exists():
        return []
    rows = [json.loads(line) for line in directory.evaluations.read_text("utf-8").splitlines()]
    by_time: dict[int, list[float]] = {}
    for row in rows:
        if row.get("training") and row["metric"] == best:
            by_time.setdefault(row["nimg"], []).append(row["value"])
    sign = -1 if best in HIGHER_IS_BETTER else 1
    return [sign * sum(found) / len(found) for _, found in sorted(by_time.items())]


def make_judge(config: Any, metrics: list[str], device: Any, *, fetch: bool = True) -> FeatureCache:
    """The networks that `metrics` need. config: has `extractor`, `resize`, `weights`.

    fetch: published weights that are not here are downloaded. Raises ConfigError.
    """
    log = print if fetch else None
    extractor = lpips = None
    if any(name in FEATURES for name in metrics):
        files = []
        if config.extractor == "inception":
            files = weights.find("inception", config.weights.inception, log)
        extractor = load_extractor(config.extractor, files, config.resize, device)
        if files and not extractor.digest.startswith(weights.KNOWN["inception"]):
            print(
                f"Warning: {files[0]} is not the published Inception (its SHA-256 begins with "
                f"{extractor.digest[:8]}): the numbers compare with nobody else's.",
                file=sys.stderr,
            )
    if any(name in ("lpips", "path_length") for name in metrics):
        lpips = load_lpips(weights.find("lpips", config.weights.lpips, log), device)
    return FeatureCache(extractor, lpips, cache_folder(None) / "features")


def append_evaluations(file: Path, values: list[MetricValue], about: dict[str, Any]) -> None:
    """Rows for evaluations.jsonl. Raises ConfigError when it cannot be written."""
    shared = {
        **about,
        "versions": versions(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    try:
        with file.open("a", encoding="utf-8") as target:
            if file.read_bytes()[-1:] not in (b"", b"\n"):  # a line cut short by a crash
                target.write("\n")
            for value in values:
                target.write(json.dumps({**value.to_dict(), **shared}) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written ({error.strerror or error}): give another output=."
        ) from error
