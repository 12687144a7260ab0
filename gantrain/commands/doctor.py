"""gantrain doctor: how a run's training goes, with the pictures that look learnt by heart."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.build import load_run_data, size_multiple
from gantrain.config.tools import DoctorConfig
from gantrain.data.base import Dataset
from gantrain.errors import ConfigError
from gantrain.health.alarms import AlarmMonitor
from gantrain.health.memorization import (
    MemorizationResult,
    Nearest,
    NearestNeighborSearch,
    assess_memorization,
    embed,
)
from gantrain.inference import model as sampling
from gantrain.inference.features import RealImages
from gantrain.inference.model import Model
from gantrain.inference.translation import translate
from gantrain.ops.value_range import to_float, to_uint8
from gantrain.runs.health import ada_p_bound
from gantrain.runs.status import Run, read_run
from gantrain.tracking.console import format_alarm as told
from gantrain.tracking.console import format_health
from gantrain.tracking.grids import compose_grid, save_png

SHOWN = 8  # pairs in the picture


def main(config: DoctorConfig) -> None:
    """Print what is known, draw the most suspicious pairs.

    Raises:
        ConfigError: no such run, or its data are gone.
        SystemExit: 1 when there is an alarm or suspicion.
    """
    run = read_run(Path(config.run))
    target = str(run.config.get("model", {}).get("_target_", "")).rpartition(".")[2]
    budget = f" of {run.total_kimg:g}" if run.total_kimg else ""
    print(f"{run.path}: {target}, {run.status}, {run.kimg:g}{budget} kimg")
    ill = _alarms(run)
    if config.samples:
        if any((run.path / "snapshots").glob("snapshot-*.pt")):
            ill |= _resemblance(config, run)
        else:
            print("No snapshot yet: no samples to compare with training pictures.")
    if ill:
        raise SystemExit(1)


def _alarms(run: Run) -> bool:
    """Say what the reports show, by the rules of today; whether there is an alarm."""
    monitor = AlarmMonitor(round(run.total_kimg * 1000), ada_p_bound(run.config.get("model", {})))
    events = [event for event in run.events if event["alarm"] == "nonfinite"]
    for row in run.reports:
        events += [
            {"nimg": row["nimg"], **vars(alarm)} for alarm in monitor.update(row["nimg"], row)
        ]
    probes = [row for row in run.reports if any(key.startswith("health/") for key in row)]
    if probes:
        newest = {key: value for key, value in probes[-1].items() if value is not None}
        print(f"Newest probe, at {probes[-1]['nimg'] / 1000:g} kimg (see docs/health.md):")
        print(*(f"  {line}" for line in format_health(newest).split(" · ")), sep="\n")
    else:
        print("No probe of G and D in metrics.jsonl (tracking.health_every_kimg).")
    active = {key.partition("/")[0] for key in monitor.active()}
    for event in sorted(events, key=lambda event: event["nimg"]):
        gone = "" if event["alarm"] in (*active, "nonfinite", "skipped") else " (gone since)"
        print(f"{told(event['nimg'], event)}{gone}")
    if not events:
        print("No alarm.")
    return bool(events)


@dataclass(frozen=True)
class _Case:
    """Samples of one kind, and the real pictures that they may resemble."""

    name: str
    fake: Tensor  # uint8 [N, C, H, W]
    training: RealImages
    unseen: Tensor  # uint8 [N, C, H, W]
    own: Tensor | None  # their numbers among the training pictures, if they are some of these


def _resemblance(config: DoctorConfig, run: Run) -> bool:
    model = sampling.load(config.run, config.device, say=print)
    data = load_run_data(Path(config.run), config.data_root, model)
    data.prepare(batch=1, multiple=size_multiple(model), log=lambda _: None)
    mirrored = bool(data.describe().get("flip"))
    suspect, columns = False, {}
    for case in _cases(config, model, data):
        searches = [_search(case.fake, mirrored), _search(case.unseen, mirrored, case.own)]
        for images in case.training.batches(config.batch):
            described = embed(to_float(images))
            for search in searches:
                search.update(described)
        samples, unseen = (search.result() for search in searches)
        finding = assess_memorization(samples, unseen)
        print(_sentence(case, finding))
        columns |= _pairs(case, samples, finding)
        suspect |= finding.suspect
    target = Path(config.output) if config.output else run.path / "doctor.png"
    try:
        save_png(target, compose_grid(columns))
    except OSError as error:
        raise ConfigError(
            f"output={target} cannot be written ({error.strerror or error}): give another file."
        ) from error
    print(f"The nearest pairs, the most suspicious first: {target}")
    return suspect


def _search(images: Tensor, mirrored: bool, own: Tensor | None = None) -> NearestNeighborSearch:
    x = to_float(images)
    return NearestNeighborSearch(embed(x), embed(x.flip(3)) if mirrored else None, own)


def _cases(config: DoctorConfig, model: Model, data: Dataset) -> Iterator[_Case]:
    if set(model.networks) <= {"ab", "ba"}:
        for way, network in model.networks.items():
            count = min(config.samples, data.test_count(way[0]))
            given = _stacked(data.test_item(way[0], i) for i in range(count))
            parts = given.split(config.batch)
            fake = torch.cat([translate(network, x, model.precision) for x in parts])
            yield _case(config, data, way[1], f"{way[0]} to {way[1]}", fake)
        return
    seeds = [*range(config.seed, config.seed + config.samples)]
    fake = to_uint8(model.sample(seeds, batch=config.batch))
    yield _case(config, data, "image", "samples", fake)


def _case(config: DoctorConfig, data: Dataset, stream: str, name: str, fake: Tensor) -> _Case:
    total = min(data.train_count(stream), config.train_images)
    training = RealImages(stream, total, lambda i: data.train_item(stream, i))
    if held := min(data.held_count(stream), 1000):
        unseen = _stacked(data.test_item(stream, i) for i in range(held))
        return _Case(name, fake, training, unseen, None)
    own = torch.arange(min(total, 1000)) * total // min(total, 1000)
    return _Case(name, fake, training, _stacked(map(training.get, own.tolist())), own)


def _stacked(images: Any) -> Tensor:
    """uint8 [N, C, H, W]: those of the first one's size."""
    tensors = [to_uint8(torch.from_numpy(image)) for image in images]
    return torch.stack([x for x in tensors if x.shape == tensors[0].shape])


def _sentence(case: _Case, finding: MemorizationResult) -> str:
    those = "held-out pictures" if case.own is None else "training pictures among each other"
    text = (
        f"{case.name}: {finding.count} of {finding.total} are nearer to one training picture than "
        f"{1 - finding.expected:.0%} of {len(case.unseen)} {those}, and the nearest one stands out "
        f"more in {finding.rank:.0%} of all comparisons (alike: 50%)"
    )
    if not finding.suspect:
        return f"{text}: nothing suspicious."
    return (
        f"SUSPECT {text}. Look at the pairs: some may be learnt by heart. More pictures, "
        "data.flip=true or model.augment=ada help; so does an earlier end."
    )


def _pairs(case: _Case, samples: Nearest, finding: MemorizationResult) -> dict[str, Tensor]:
    chosen = finding.order[:SHOWN]
    numbers = samples.index[chosen].tolist()
    nearest = _stacked(case.training.get(number) for number in numbers)
    return {
        case.name: to_float(case.fake[chosen]),
        f"nearest {case.training.name}": to_float(nearest),
    }
