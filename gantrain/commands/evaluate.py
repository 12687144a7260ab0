"""gantrain evaluate: how good a run's generators are, in numbers that say what they mean."""

import hashlib
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from gantrain import targets
from gantrain.config import inspection
from gantrain.config.inspection import EvaluateConfig
from gantrain.data.cache import cache_folder
from gantrain.errors import ConfigError
from gantrain.inference import model as sampling
from gantrain.inference.evaluation import (
    Judge,
    Request,
    evaluate_latents,
    evaluate_translation,
)
from gantrain.inference.model import Model
from gantrain.inference.translation import input_channels
from gantrain.metrics import weights
from gantrain.metrics.extractor import load_extractor, load_lpips
from gantrain.metrics.protocol import FEATURES, PAIRED, Value, misfits
from gantrain.runs.lifecycle import versions

RECORD = "evaluations.jsonl"
PIXELWISE = ("l1", "psnr", "ssim")


def main(cfg: DictConfig) -> list[Value]:
    """Measure, print, record.

    Raises:
        ConfigError: no such run or data, weights that cannot be had, metrics that do not apply.
    """
    config = inspection.load_evaluate(cfg)
    model = sampling.load(config.run, config.device, config.precision, say=print)
    translates = set(model.networks) <= {"ab", "ba"}
    data = data_of(Path(config.run), config.data_root, model)
    data.prepare(batch=1, multiple=size_multiple(model), log=print)
    metrics = _metrics(config, model, translates, data)
    judge = make_judge(config, metrics, model.precision.device)
    request = Request(
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


def make_judge(config: Any, metrics: list[str], device: Any, *, fetch: bool = True) -> Judge:
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
    return Judge(extractor, lpips, cache_folder(None) / "features")


def data_of(run: Path, root: str | None, model: Model) -> Any:
    """The data set of a run directory or one of its snapshots, not yet prepared.

    root: where it is now; None: where it was. Raises ConfigError.
    """
    run = run if run.is_dir() else run.parent.parent
    try:
        section = yaml.safe_load((run / "config.yaml").read_text("utf-8"))["data"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        if not root:
            raise ConfigError(
                f"{run / 'config.yaml'} does not say what data the run had ({error}): give run= a "
                "run directory, or a snapshot in the snapshots folder of one; or data_root=DIR, "
                "which holds trainA/ and trainB/ (of single pictures: any folder)."
            ) from None
        section = _foreign(model)
    if root:
        section["root"] = root
    made, keys = targets.resolve(section)
    return made(seed=0, **keys)


def _foreign(model: Model) -> dict[str, Any]:
    """A folder for networks that were not trained here, as an imported snapshot has them."""
    if set(model.networks) <= {"ab", "ba"}:
        kind = "gantrain.data.folder.UnpairedFolder"
        channels = {f"channels_{way[0]}": input_channels(g) for way, g in model.networks.items()}
        return {"_target_": kind, **{key: x for key, x in channels.items() if x}}
    G = model.generator
    size = {"resolution": list(G.resolution), "channels": G.channels, "labels": G.label_dim > 0}
    return {"_target_": "gantrain.data.image_folder.ImageFolder", **size}


def size_multiple(model: Model) -> int:
    """What the sides of the networks' pictures must be multiples of."""
    return max(int(getattr(network, "size_multiple", 1)) for network in model.networks.values())


def _metrics(config: EvaluateConfig, model: Model, translates: bool, data: Any) -> list[str]:
    pairs = translates and data.has_pairs
    if config.metrics is None:
        return ["fid", "kid", *(PIXELWISE if pairs else ())]
    has_w = not translates and model.has_w
    problems = misfits(
        config.metrics, model.algorithm, translates=translates, pairs=pairs, has_w=has_w
    )
    if told := [f"metrics: {problem}" for problem in problems]:
        raise ConfigError(*told)
    return list(dict.fromkeys(config.metrics))


def _check(request: Request, config: EvaluateConfig, translates: bool, data: Any) -> None:
    """Raise ConfigError when there are too few pictures, before any is looked at."""
    if translates:
        if config.split == "train":
            raise ConfigError("split=train: translations are measured on test pictures; leave out.")
        counts = [data.test_count(domain) for domain in "ab"]
    else:
        counts = [data.count(request.split)]
    if min(counts) < 6:
        raise ConfigError(
            f"There are {min(counts)} real pictures to compare with, which say nothing: 6 are the "
            "least, and hundreds are better." + " Try split=train." * (request.split == "test")
        )
    if (request.num_images or 6) < 6:
        raise ConfigError(f"num_images={request.num_images} is too few: 6 are the least.")


def _total(request: Request, translates: bool, data: Any) -> int:
    """Pictures to be looked at, for the progress bar."""
    if translates:
        counts = [min(data.test_count(d), request.num_images or 10**9) for d in "ab"]
        paired = any(name in PAIRED for name in request.metrics)
        return 2 * sum(counts) + 2 * min(counts) * paired
    real = data.count(request.split)
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


def _show(values: list[Value]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("metric", "value", "spread", "real", "generated"):
        table.add_column(title, justify="left" if title == "metric" else "right")
    for value in values:
        spread = "" if value.std is None else f"{value.std:.2g}"
        counts = (str(value.protocol.real), str(value.protocol.fake))
        table.add_row(value.name, f"{value.value:.5g}", spread, *counts)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _record(config: EvaluateConfig, model: Model, values: list[Value]) -> None:
    path = Path(config.run)
    run = path if path.is_dir() else path.parent.parent
    file = Path(config.output) if config.output else run / RECORD
    about = {
        "nimg": model.meta.get("nimg"),
        "snapshot": hashlib.sha256(model.file.read_bytes()).hexdigest(),
        "precision": config.precision,
    }
    append(file, values, about)
    print(f"Added to {file}")


def append(file: Path, values: list[Value], about: dict[str, Any]) -> None:
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
                target.write(json.dumps({**value.plain(), **shared}) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written ({error.strerror or error}): give another output=."
        ) from error
