"""Measuring generators: real and generated pictures to features, features to numbers."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.data.base import Dataset
from gantrain.errors import ConfigError
from gantrain.inference.features import FeatureCache, RealImages, Tick, update_digest
from gantrain.inference.model import Model
from gantrain.inference.translation import METRICS as PIXELWISE
from gantrain.inference.translation import translate
from gantrain.metrics.extractor import Extractor
from gantrain.metrics.fid import fid
from gantrain.metrics.inception_score import inception_score
from gantrain.metrics.kid import kid, kid_std
from gantrain.metrics.lpips import LEAST_SIDE
from gantrain.metrics.moments import moments
from gantrain.metrics.path_length import path_endpoints, path_length
from gantrain.metrics.precision_recall import density_coverage, precision_recall
from gantrain.metrics.protocol import FEATURES, PAIRED, MetricValue, Protocol
from gantrain.ops.precision import full_float32
from gantrain.ops.value_range import to_float, to_uint8

_SUBSETS = 20  # of KID's spread
_PSNR_LIMIT = 108.0  # dB, where one level in one pixel of a megapixel differs


@dataclass(frozen=True)
class EvaluationRequest:
    """What is measured, and how. `spread`: KID's deviation over subsets, too, which takes time."""

    metrics: Sequence[str]
    num_images: int | None
    split: str
    seed: int
    truncation_psi: float
    batch: int
    spread: bool = True


def feature_metrics(
    judge: FeatureCache, real: Tensor, fake: Tensor, request: EvaluationRequest
) -> Iterator[tuple[str, float, float | None]]:
    """(name, value, std) of every metric of `request` that compares features."""
    if judge.extractor.device.type == "cuda":  # float64 products of 50,000 samples
        real, fake = real.to(judge.extractor.device), fake.to(judge.extractor.device)
    for name in request.metrics:
        if name == "fid":
            yield name, fid(moments(real), moments(fake)), None
        elif name == "kid":
            std = kid_std(real, fake, request.seed, _SUBSETS) if request.spread else None
            yield name, kid(real, fake), std
        elif name == "precision_recall":
            yield from ((key, value, None) for key, value in precision_recall(real, fake).items())
        elif name == "density_coverage":
            yield from ((key, value, None) for key, value in density_coverage(real, fake).items())
        elif name == "inception_score":
            logits = judge.extractor.logits(fake.to(judge.extractor.device)).cpu()
            yield (name, *inception_score(logits))


def evaluate_latents(
    model: Model, data: Dataset, judge: FeatureCache, request: EvaluationRequest, tick: Tick
) -> list[MetricValue]:
    """A generator of latents against the pictures of `data`, a prepared set of single pictures."""
    split = request.split
    real_count = data.train_count("image") if split == "train" else data.held_count("image")
    count = request.num_images or real_count
    began = time.monotonic()
    values: list[MetricValue] = []
    if any(name in FEATURES for name in request.metrics):
        about = json.dumps({**data.describe(), "split": split}, sort_keys=True, default=str)
        get = data.train_item if split == "train" else data.test_item
        pictures = RealImages(about, real_count, lambda i: get("image", i))
        real, pixels = judge.real(pictures, request.batch, tick)
        fake = judge.fake(_generated(model, data, request, count), tick)
        protocol = _protocol(judge.extractor, request, model, real_count, count, split, pixels)
        for name, value, std in feature_metrics(judge, real, fake, request):
            values.append(MetricValue(name, value, protocol, None, std, time.monotonic() - began))
    if "path_length" in request.metrics:
        began = time.monotonic()
        pairs = _paths(model, data, request, count, tick)
        value = path_length(pairs, lambda x, y: judge.lpips(x, y).cpu())
        protocol = _protocol(None, request, model, 0, count, split, "")
        values.append(
            MetricValue("path_length", value, protocol, None, None, time.monotonic() - began)
        )
    return values


def evaluate_translation(
    networks: dict[str, nn.Module],
    model: Model,
    data: Dataset,
    judge: FeatureCache,
    request: EvaluationRequest,
    tick: Tick,
) -> list[MetricValue]:
    """Generators between two domains, both directions: translated test pictures against real ones
    of the other domain, and against their true partners where these are known."""
    values: list[MetricValue] = []
    for direction, network in networks.items():
        source, target = (_domain(data, domain, request.num_images) for domain in direction)
        began = time.monotonic()
        if any(name in FEATURES for name in request.metrics):
            real, pixels = judge.real(target, request.batch, tick)
            given = source.batches(request.batch)
            fake = judge.fake((translate(network, x, model.precision) for x in given), tick)
            counts = (target.count, source.count)
            protocol = _protocol(judge.extractor, request, model, *counts, _split(data), pixels)
            for name, value, std in feature_metrics(judge, real, fake, request):
                took = time.monotonic() - began
                values.append(MetricValue(name, value, protocol, direction, std, took))
            untouched, _ = judge.real(source, request.batch, tick)
            for name, value, std in feature_metrics(judge, real, untouched, request):
                if name in ("fid", "kid"):  # what doing nothing would reach
                    values.append(MetricValue(f"{name}_input", value, protocol, direction, std))
        if any(name in PAIRED for name in request.metrics) and data.has_pairs:
            values += _paired(network, direction, model, data, judge, request, tick)
    return values


def _paired(
    network: nn.Module,
    direction: str,
    model: Model,
    data: Dataset,
    judge: FeatureCache,
    request: EvaluationRequest,
    tick: Tick,
) -> Iterator[MetricValue]:
    """Means over the test pairs of the pixel-wise metrics and LPIPS."""
    began = time.monotonic()
    source, target = (_domain(data, domain, request.num_images) for domain in direction)
    names = [name for name in request.metrics if name in PAIRED]
    scores: dict[str, list[Tensor]] = {name: [] for name in names}
    mark = hashlib.sha256()
    for x, y in zip(source.batches(1), target.batches(1), strict=False):
        fake = translate(network, x, model.precision)
        update_digest(mark, y)
        for name in names:
            if name == "lpips":
                if min(y.shape[-2:]) < LEAST_SIDE:
                    raise ConfigError(f"lpips needs pictures of {LEAST_SIDE} pixels or more.")
                device = next(judge.lpips.parameters()).device
                pair = [to_float(image).expand(-1, 3, -1, -1).to(device) for image in (fake, y)]
                scores[name].append(judge.lpips(*pair).cpu().double())
            else:
                scores[name].append(PIXELWISE[name](fake, y).clamp(max=_limit(name)))
        tick(1)
    pixels, count = mark.hexdigest()[:16], min(source.count, target.count)
    for name in names:
        protocol = _protocol(None, request, model, count, count, _split(data), pixels)
        value = float(torch.cat(scores[name]).mean())
        yield MetricValue(name, value, protocol, direction, None, time.monotonic() - began)


def _limit(name: str) -> float:
    return _PSNR_LIMIT if name == "psnr" else float("inf")


def _domain(data: Dataset, domain: str, limit: int | None) -> RealImages:
    about = {**data.describe(), "folders": "", "domain": domain, "split": _split(data)}
    count = min(data.test_count(domain), limit or data.test_count(domain))
    name = json.dumps(about, sort_keys=True, default=str)
    return RealImages(name, count, lambda i: data.test_item(domain, i))


def _split(data: Dataset) -> str:
    shared = data.describe().get("test_is_train", {})
    return "train" if any(shared.values()) else "test"


def _protocol(
    extractor: Extractor | None,
    request: EvaluationRequest,
    model: Model,
    real: int,
    fake: int,
    split: str,
    pixels: str,
) -> Protocol:
    return Protocol(
        extractor=extractor.name if extractor else "",
        digest=extractor.digest if extractor else "",
        resize=extractor.resize if extractor else "",
        real=real,
        fake=fake,
        split=split,
        data=pixels,
        truncation_psi=request.truncation_psi,
        ema=bool(model.meta.get("ema")),
        seed=request.seed,
    )


def _parts(request: EvaluationRequest, count: int) -> Iterator[list[int]]:
    """Seeds, in batches."""
    seeds = range(request.seed, request.seed + count)
    yield from ([*seeds[i : i + request.batch]] for i in range(0, count, request.batch))


def _labels(
    model: Model, data: Dataset, request: EvaluationRequest, seeds: list[int]
) -> Tensor | None:
    """Labels as often as training pictures have them."""
    if not model.label_dim:
        return None
    total = data.train_count("image")
    order = np.random.RandomState(request.seed).permutation(total)
    rows = [data.train_item("label", int(order[(s - request.seed) % total])) for s in seeds]
    return torch.from_numpy(np.stack(rows)).to(model.precision.device)


@torch.no_grad()
def _generated(
    model: Model, data: Dataset, request: EvaluationRequest, count: int
) -> Iterator[Tensor]:
    """uint8 [n, C, H, W] of the request's seeds."""
    for seeds in _parts(request, count):
        c = _labels(model, data, request, seeds)
        points = model.points(seeds, c, psi=request.truncation_psi)
        yield to_uint8(model.render(points, "const", seeds)).cpu()


@torch.no_grad()
def _paths(
    model: Model, data: Dataset, request: EvaluationRequest, count: int, tick: Tick
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures at both ends of `count` short steps, in full float32: rounded further, the pictures
    would differ by the rounding."""
    device = model.precision.device
    model = replace(model, precision=model.precision.without_autocast())
    for seeds in _parts(request, count):
        c = _labels(model, data, request, seeds)
        doubled = [*seeds, *(seed + count for seed in seeds)]
        both = None if c is None else torch.cat([c, c])
        with full_float32(device):
            first, second = path_endpoints(model.mapping(model.latents(doubled), both))
            pair = model.synthesis(first), model.synthesis(second)
        yield pair
        tick(len(seeds))
