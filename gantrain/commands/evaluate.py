"""gantrain evaluate: how good a run's generators are, in numbers that say what they mean."""

import hashlib
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from gantrain.build import load_run_data, size_multiple
from gantrain.config.tools import EvaluateConfig
from gantrain.data.base import Dataset
from gantrain.errors import ConfigError
from gantrain.inference import model as sampling
from gantrain.inference.evaluation import EvaluationRequest, evaluate_latents, evaluate_translation
from gantrain.inference.model import Model
from gantrain.metrics.protocol import FEATURES, PAIRED, MetricValue, unsupported_metrics
from gantrain.runs.evaluation import append_evaluations, make_judge

RECORD = "evaluations.jsonl"
PIXELWISE = ("l1", "psnr", "ssim")


def main(config: EvaluateConfig) -> list[MetricValue]:
    """Measure, print, record.

    Raises:
        ConfigError: no such run or data, weights that cannot be had, metrics that do not apply.
    """
    model = sampling.load(config.run, config.device, config.precision, say=print)
    translates = set(model.networks) <= {"ab", "ba"}
    data = load_run_data(Path(config.run), config.data_root, model)
    data.prepare(batch=1, multiple=size_multiple(model), log=print)
    metrics = _metrics(config, model, translates, data)
    judge = make_judge(config, metrics, model.precision.device)
    request = EvaluationRequest(
        metrics=metrics,
        num_images=config.num_images,
        split=config.split or "train",
        seed=config.seed,
        truncation_psi=config.truncation_psi,
        batch=config.batch,
    )
    _check(request, config, translates, data)
    with _progress(_total(request, translates, data)) as (bar, task):

        def tick(count: int) -> None:
            bar.advance(task, count)

        if translates:
            values = evaluate_translation(model.networks, model, data, judge, request, tick)
        else:
            values = evaluate_latents(model, data, judge, request, tick)
    _show(values)
    _record(config, model, values)
    return values


def _metrics(config: EvaluateConfig, model: Model, translates: bool, data: Dataset) -> list[str]:
    pairs = translates and data.has_pairs
    if config.metrics is None:
        return ["fid", "kid", *(PIXELWISE if pairs else ())]
    has_w = not translates and model.has_w
    problems = unsupported_metrics(
        config.metrics, model.algorithm, translates=translates, pairs=pairs, has_w=has_w
    )
    if told := [f"metrics: {problem}" for problem in problems]:
        raise ConfigError(*told)
    return list(dict.fromkeys(config.metrics))


def _check(
    request: EvaluationRequest, config: EvaluateConfig, translates: bool, data: Dataset
) -> None:
    """Raise ConfigError when there are too few pictures, before any is looked at."""
    if translates:
        if config.split == "train":
            raise ConfigError("split=train: translations are measured on test pictures; leave out.")
        counts = [data.test_count(domain) for domain in "ab"]
    else:
        counts = [_real_count(request, data)]
    if min(counts) < 6:
        raise ConfigError(
            f"There are {min(counts)} real pictures to compare with, which say nothing: 6 are the "
            "least, and hundreds are better." + " Try split=train." * (request.split == "test")
        )
    if (request.num_images or 6) < 6:
        raise ConfigError(f"num_images={request.num_images} is too few: 6 are the least.")


def _real_count(request: EvaluationRequest, data: Dataset) -> int:
    return data.train_count("image") if request.split == "train" else data.held_count("image")


def _total(request: EvaluationRequest, translates: bool, data: Dataset) -> int:
    """Pictures to be looked at, for the progress bar."""
    if translates:
        counts = [min(data.test_count(d), request.num_images or 10**9) for d in "ab"]
        paired = any(name in PAIRED for name in request.metrics)
        return 2 * sum(counts) + 2 * min(counts) * paired
    real = _real_count(request, data)
    fake = request.num_images or real
    judged = any(name in FEATURES for name in request.metrics)
    return (real + fake) * judged + fake * ("path_length" in request.metrics)


class _progress:
    """A bar on a terminal, nothing elsewhere; `with _progress(total) as (bar, task)`."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, transient=True, disable=not sys.stdout.isatty())
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> tuple[Progress, Any]:
        self._bar.start()
        return self._bar, self._task

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _show(values: list[MetricValue]) -> None:
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
    file = Path(config.output) if config.output else run / RECORD
    about = {
        "nimg": model.meta.get("nimg"),
        "snapshot": hashlib.sha256(model.file.read_bytes()).hexdigest(),
        "precision": config.precision,
    }
    append_evaluations(file, values, about)
    print(f"Added to {file}")
