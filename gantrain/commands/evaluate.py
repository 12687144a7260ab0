"""gantrain evaluate: metrics of a run's generators, recorded with their protocol."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gantrain.build import load_run_data, size_multiple
from gantrain.config.tools import EvaluateConfig
from gantrain.data.base import Dataset
from gantrain.errors import ConfigError
from gantrain.inference import latent_sources
from gantrain.inference.evaluation import EvaluationRequest, evaluate_latents, evaluate_translation
from gantrain.inference.generators import moves_canvas
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.projection import explain_unlike_lpips
from gantrain.io import hub
from gantrain.metrics import requirements, weights
from gantrain.metrics.protocol import (
    DISENTANGLEMENT,
    EQUIVARIANCE,
    FEATURES,
    LATENT,
    PAIRED,
    MetricValue,
)
from gantrain.runs.evaluation import append_evaluations, make_metric_networks, subject_of
from gantrain.tracking.console import progress_bar

EVALUATIONS_FILE = "evaluations.jsonl"


def main(config: EvaluateConfig) -> list[MetricValue]:
    """Compute the metrics, print them and record them.

    Raises:
        ConfigError: there is no such run or data, weights are missing, or metrics do not apply.
    """
    mode, seed = config.test_mode, config.seed
    model = load_model(
        config.run, config.device, config.precision, print, test_mode=mode, seed=seed
    )
    translates = bool(model.directions)
    home = model.file.parent if hub.is_address(config.run) else Path(config.run)
    data = load_run_data(home, config.data_root, model)
    if not translates and data.kind != "images":
        raise ConfigError(
            f"{model.algorithm} generates images, but was trained on two domains: there is no one "
            "set of images to compare with. Give data_root=, a folder of images of its kind."
        )
    data.prepare(batch=1, multiple=size_multiple(model), log=print)
    metrics = _metrics(config, model, translates, data)
    networks = make_metric_networks(config, metrics, model.precision.device)
    folders = config.examples
    request = EvaluationRequest(
        metrics=metrics,
        num_images=config.num_images,
        split=config.split or "train",
        seed=config.seed,
        truncation_psi=config.truncation_psi,
        batch=config.batch,
        examples=None if folders is None else latent_sources.read_examples(model, folders),
    )
    with progress_bar(_total(request, model.directions, data)) as advance:
        if translates:
            values = evaluate_translation(model.networks, model, data, networks, request, advance)
        else:
            values = evaluate_latents(model, data, networks, request, advance)
    _print_table(values)
    _record(config, model, values)
    return values


def _metrics(config: EvaluateConfig, model: Model, translates: bool, data: Dataset) -> list[str]:
    """Return the names of the metrics, after checking that they can be measured.

    Raises:
        ConfigError: lists every reason why not.
    """
    if translates and config.split == "train":
        raise ConfigError(
            "split=train has no effect: translations are evaluated on test images. Remove it."
        )
    has_w = not translates and model.has_w
    split = config.split or "train"
    moving = not translates and moves_canvas(model.generator)
    subject = subject_of(
        model.algorithm,
        data,
        translates=translates,
        has_w=has_w,
        moving=moving,
        split=split,
        examples=config.examples is not None,
    )
    asked = config.metrics or _usual_metrics(subject, config)
    metrics = _expand(asked, subject)
    sentences = list(requirements.problems(metrics, subject, config.num_images))
    if config.examples and not translates:
        sentences += explain_unlike_lpips(model, "examples")
    if sentences:
        raise ConfigError(*sentences)
    return list(dict.fromkeys(metrics))


def _usual_metrics(subject: requirements.Subject, config: EvaluateConfig) -> list[str]:
    """Return the metrics that are measured unless others are asked for.

    Of pairs, L1, PSNR and SSIM always can be: what cannot is left out, with a sentence.
    """
    if not (subject.translates and subject.pairs):
        return ["fid", "kid"]
    named: list[str] = []
    for name in ("fid", "kid", *PAIRED):
        reasons = list(requirements.problems([name], subject, config.num_images))
        if name == "lpips" and not reasons:
            reasons = list(_explain_no_lpips(config))
        named += [] if reasons else [name]
        for reason in reasons:
            print(f"Without {name}: {reason.removesuffix(': leave it out.').removesuffix('.')}.")
    return named


def _explain_no_lpips(config: EvaluateConfig) -> Iterator[str]:
    """Yield why LPIPS is not measured unless it is asked for; fetch its weights if they can be."""
    if config.weights.lpips is not None:
        return  # a wrong file is an error
    if config.extractor == "random":
        yield "extractor=random goes without weights (metrics=[lpips] fetches those of LPIPS)"
        return
    try:
        weights.find("lpips", log=print)
    except ConfigError as error:
        yield str(error)


def _expand(metrics: list[str], subject: requirements.Subject) -> list[str]:
    """Replace "disentanglement" by path length, and by separability if there are labels."""
    if DISENTANGLEMENT not in metrics:
        return metrics
    named = [name for name in metrics if name != DISENTANGLEMENT] + ["path_length"]
    if reasons := list(requirements.explain_no_separability(subject)):
        print(f"disentanglement: path_length alone. {reasons[0]}")
        return named
    return [*named, "separability"]


def _real_count(request: EvaluationRequest, data: Dataset) -> int:
    return data.train_count("image") if request.split == "train" else data.held_count("image")


def _total(request: EvaluationRequest, directions: list[str], data: Dataset) -> int:
    """Return the number of images that will be processed, for the progress bar."""
    uses_features = any(name in FEATURES for name in request.metrics)
    if directions:
        counts = {d: min(data.test_count(d), request.num_images or 10**9) for d in "ab"}
        uses_pairs = any(name in PAIRED for name in request.metrics)
        # The inputs are measured as they are, too.
        features = sum(2 * counts[source] + counts[target] for source, target in directions)
        pairs = len(directions) * min(counts.values())
        return features * uses_features + pairs * uses_pairs
    real = _real_count(request, data)
    fake = request.num_images or real
    others = [name for name in request.metrics if name in (*LATENT, *EQUIVARIANCE)]
    return (real + fake) * uses_features + fake * len(others)


def _print_table(values: list[MetricValue]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("metric", "value", "spread", "real", "generated"):
        table.add_column(title, justify="left" if title == "metric" else "right")
    for value in values:
        spread = "" if value.std is None else f"{value.std:.2g}"
        counts = (str(value.protocol.real), str(value.protocol.fake))
        table.add_row(value.name, f"{value.value:.5g}", spread, *counts)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _record(config: EvaluateConfig, model: Model, values: list[MetricValue]) -> None:
    path = Path(config.run)
    run = path if path.is_dir() else path.parent.parent
    file = Path(config.output) if config.output else run / EVALUATIONS_FILE
    about = {
        "nimg": model.meta.get("nimg"),
        "snapshot": hashlib.sha256(model.file.read_bytes()).hexdigest(),
        "precision": config.precision,
    }
    if "hub" in model.meta:
        about["hub"] = model.meta["hub"]  # with the commit
    append_evaluations(file, values, about)
    print(f"Appended to {file}")
