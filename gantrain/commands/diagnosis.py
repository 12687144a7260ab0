"""gantrain doctor run=DIR: alarms about its training, and a test for memorized training images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.build import load_run_data, size_multiple
from gantrain.config.tools import DoctorConfig
from gantrain.data.base import Dataset
from gantrain.engine.threads import available_threads
from gantrain.health.alarms import AlarmMonitor
from gantrain.health.memorization import (
    MemorizationResult,
    Nearest,
    NearestNeighborSearch,
    assess_memorization,
    embed,
)
from gantrain.inference.evaluation import training_labels
from gantrain.inference.features import RealImages
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.pictures import look_of, seen_items
from gantrain.inference.translation import translate
from gantrain.io.files import unwritable_as_config_error
from gantrain.ops.value_range import to_float, to_uint8
from gantrain.pages.explanations import explain
from gantrain.runs.health import ada_p_bound
from gantrain.runs.status import Run, read_run
from gantrain.snapshot import NoSnapshotError
from gantrain.tracking.console import format_alarm, health_figures
from gantrain.tracking.grids import compose_grid, save_png

MAX_PAIRS = 8  # in the image


def main(path: Path, config: DoctorConfig) -> None:
    """Print the diagnosis, and write an image of the most suspicious pairs.

    Args:
        path: the run directory.
        config: the checked config.

    Raises:
        ConfigError: there is no such run, or its data are missing.
        SystemExit: 1 if there are alarms or suspicious samples.
    """
    run = read_run(path)
    target = str(run.config.get("model", {}).get("_target_", "")).rpartition(".")[2]
    budget = f" of {run.total_kimg:g}" if run.total_kimg else ""
    print(f"{run.path}: {target}, {run.status}, {run.kimg:g}{budget} kimg")
    if threads := run.config.get("derived", {}).get("threads"):
        print(_describe_threads(threads, run.config.get("runtime", {}).get("threads")))
    has_findings = _print_alarms(run)
    if config.samples:
        try:
            has_findings |= _check_memorization(config, run)
        except NoSnapshotError:
            print("No snapshot yet: there are no samples to compare with training images.")
    if has_findings:
        raise SystemExit(1)


def _describe_threads(threads: int, wanted: int | None) -> str:
    """Say how many CPU threads a training uses, and why."""
    count = f"{threads} CPU thread{'s' * (threads > 1)} of torch"
    reason = "runtime.threads" if wanted else "by the size of the work; runtime.threads=N sets it"
    return f"Trained with {count} per process ({reason}); {available_threads()} are available here."


def _print_alarms(run: Run) -> bool:
    """Apply the current rules to all reports of the run, and return whether there is an alarm."""
    monitor = AlarmMonitor(round(run.total_kimg * 1000), ada_p_bound(run.config.get("model", {})))
    events = [event for event in run.events if event["alarm"] == "nonfinite"]
    for row in run.reports:
        events += [
            {"nimg": row["nimg"], **vars(alarm)} for alarm in monitor.update(row["nimg"], row)
        ]
    probes = [row for row in run.reports if any(key.startswith("health/") for key in row)]
    if probes:
        newest = {key: value for key, value in probes[-1].items() if value is not None}
        print(f"Latest probe, at {probes[-1]['nimg'] / 1000:g} kimg:")
        for probe, figures in health_figures(newest).items():
            print(f"  {probe}")
            width = max(map(len, figures.values()))
            for name, text in figures.items():
                print(f"    {text:{width}}  {explain(f'health/{name}')}")
    else:
        print("No health probes in metrics.jsonl (see tracking.health_every_kimg).")
    active = {key.partition("/")[0] for key in monitor.active()}
    for event in sorted(events, key=lambda event: event["nimg"]):
        gone = "" if event["alarm"] in (*active, "nonfinite", "skipped") else " (gone since)"
        print(f"{format_alarm(event['nimg'], event)}{gone}")
    if not events:
        print("No alarms.")
    return bool(events)


@dataclass(frozen=True)
class _Case:
    """Samples of one kind, and the real images that they may resemble.

    Attributes:
        name: for the user.
        fake: the samples, uint8 [N, C, H, W].
        training: the training images.
        unseen: real images to compare with, uint8 [M, C, H, W].
        own: [M], the indices of `unseen` among the training images; None: they are held out.
    """

    name: str
    fake: Tensor
    training: RealImages
    unseen: Tensor
    own: Tensor | None


def _check_memorization(config: DoctorConfig, run: Run) -> bool:
    """Compare samples with training images, and return whether some look memorized."""
    model = load_model(run.path, config.device, say=print, seed=config.seed)
    data = load_run_data(run.path, config.data_root, model)
    data.prepare(batch=1, multiple=size_multiple(model), log=lambda _: None)
    mirrored = bool(data.describe().get("flip"))
    is_suspect = False
    columns = {}
    for case in _cases(config, model, data):
        searches = [_search(case.fake, mirrored), _search(case.unseen, mirrored, case.own)]
        for images in case.training.batches(config.batch):
            embedded = embed(to_float(images))
            for search in searches:
                search.update(embedded)
        samples, unseen = (search.result() for search in searches)
        result = assess_memorization(samples, unseen)
        print(_sentence(case, result))
        columns |= _pairs(case, samples, result)
        is_suspect |= result.suspect
    target = Path(config.output) if config.output else run.path / "doctor.png"
    with unwritable_as_config_error("output", target):
        save_png(target, compose_grid(columns, show=data.describe().get("show")))
    print(f"Nearest pairs, the most suspicious first: {target}")
    return is_suspect


def _search(images: Tensor, mirrored: bool, own: Tensor | None = None) -> NearestNeighborSearch:
    x = to_float(images)
    return NearestNeighborSearch(embed(x), embed(x.flip(3)) if mirrored else None, own)


def _cases(config: DoctorConfig, model: Model, data: Dataset) -> Iterator[_Case]:
    if model.directions:
        for direction, network in model.networks.items():
            source, target = direction
            count = min(config.samples, data.test_count(source))
            inputs = RealImages(source, count, partial(data.test_item, source))
            first, look = data.test_item(source, 0), look_of(data.describe())
            batches = (x for x in inputs.stored(config.batch) if x.shape[1:] == first.shape)
            fake = torch.cat([translate(network, x, model.precision, look) for x in batches])
            yield _case(config, data, target, f"{source} to {target}", fake)
        return
    seeds = [*range(config.seed, config.seed + config.samples)]
    yield _case(config, data, "image", "samples", _samples(config, model, data, seeds))


@torch.no_grad()
def _samples(config: DoctorConfig, model: Model, data: Dataset, seeds: list[int]) -> Tensor:
    """Return the images of seeds, uint8 [N, C, H, W]."""
    kind = (model.labels or {}).get("kind")
    if not (model.label_dim and data.label_dim == model.label_dim and kind in ("multi", "float")):
        return to_uint8(model.sample(seeds, batch=config.batch))  # class by class
    parts = [seeds[i : i + config.batch] for i in range(0, len(seeds), config.batch)]
    images = []
    for part in parts:
        latents = model.latent_inputs(part, training_labels(model, data, part, config.seed))
        images.append(to_uint8(model.synthesize(latents, "const", part)).cpu())
    return torch.cat(images)


def _case(config: DoctorConfig, data: Dataset, stream: str, name: str, fake: Tensor) -> _Case:
    total = min(data.train_count(stream), config.train_images)
    training = RealImages(stream, total, seen_items(data, data.train_item, stream))
    if held_out := min(data.held_count(stream), 1000):
        unseen = _stack(map(seen_items(data, data.test_item, stream), range(held_out)))
        return _Case(name, fake, training, unseen, None)
    # Without held-out images, compare training images with each other
    own = torch.arange(min(total, 1000)) * total // min(total, 1000)
    return _Case(name, fake, training, _stack(map(training.get, own.tolist())), own)


def _stack(images: Any) -> Tensor:
    """Return the images that have the size of the first one, uint8 [N, C, H, W]."""
    tensors = [to_uint8(torch.from_numpy(image)) for image in images]
    return torch.stack([x for x in tensors if x.shape == tensors[0].shape])


def _sentence(case: _Case, result: MemorizationResult) -> str:
    reference = "held-out images" if case.own is None else "training images (to other ones)"
    text = (
        f"{case.name}: {result.count} of {result.total} are nearer to a training image than "
        f"{1 - result.expected:.0%} of {len(case.unseen)} {reference}, and their nearest one "
        f"stands out more in {result.rank:.0%} of all comparisons (50% is normal)"
    )
    if not result.suspect:
        return f"{text}: nothing suspicious."
    return (
        f"SUSPECT {text}. Look at the pairs: training images may be memorized. More images, "
        "data.flip=true, augmentation (model.augment=ada, or a higher model.augment_p) or a "
        "shorter training help."
    )


def _pairs(case: _Case, samples: Nearest, result: MemorizationResult) -> dict[str, Tensor]:
    """Return two columns of a grid, float [N, C, H, W]: samples and their nearest images."""
    rows = result.order[:MAX_PAIRS]
    indices = samples.index[rows].tolist()
    nearest = _stack(case.training.get(index) for index in indices)
    return {
        case.name: to_float(case.fake[rows]),
        f"nearest {case.training.name}": to_float(nearest),
    }
