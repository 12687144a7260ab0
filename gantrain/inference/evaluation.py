"""Measuring generators: real and generated pictures to features, features to numbers."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.inference.model import Model
from gantrain.inference.translation import METRICS as PIXELWISE
from gantrain.inference.translation import translate
from gantrain.io.files import atomic_write
from gantrain.metrics.extractor import Extractor
from gantrain.metrics.fid import fid
from gantrain.metrics.inception_score import inception_score
from gantrain.metrics.kid import kid, kid_std
from gantrain.metrics.lpips import LEAST_SIDE, LPIPS
from gantrain.metrics.moments import moments
from gantrain.metrics.path_length import path_endpoints, path_length
from gantrain.metrics.precision_recall import density_coverage, precision_recall
from gantrain.metrics.protocol import FEATURES, PAIRED, MetricValue, Protocol
from gantrain.ops.precision import full_float32
from gantrain.ops.value_range import to_float, to_uint8

Tick = Callable[[int], None]  # so many more pictures are done
_VERSION = 2  # of the files of kept features
_AHEAD = 4  # batches that are read before they are asked for
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


@dataclass(frozen=True)
class RealImages:
    """`count` real pictures by number, [C, H, W] as a data set has them; `name` names the set."""

    name: str
    count: int
    get: Callable[[int], np.ndarray]

    def batches(self, size: int) -> Iterator[Tensor]:
        """uint8 [n, C, H, W], n at most `size`, of one size each; read ahead by other threads."""
        with ThreadPoolExecutor(8) as pool:
            numbers = iter(range(self.count))
            waiting = [pool.submit(self.get, n) for n in islice(numbers, _AHEAD * size)]
            batch: list[Tensor] = []
            while waiting:
                image = torch.from_numpy(waiting.pop(0).result())
                waiting += [pool.submit(self.get, n) for n in islice(numbers, 1)]
                if batch and (len(batch) == size or batch[0].shape != image.shape):
                    yield torch.stack(batch)
                    batch = []
                batch.append(to_uint8(image))
            if batch:
                yield torch.stack(batch)


class FeatureCache:
    """The networks that judge, and what is known of real pictures.

    Args:
        kept: folder for the features of real pictures; None: they are not kept.
    """

    def __init__(self, extractor: Extractor | None, lpips: LPIPS | None, kept: Path | None) -> None:
        self._extractor, self._lpips, self._kept = extractor, lpips, kept
        self._known: dict[str, tuple[Tensor, str]] = {}  # of this process

    @property
    def extractor(self) -> Extractor:
        assert self._extractor is not None
        return self._extractor

    @property
    def lpips(self) -> LPIPS:
        assert self._lpips is not None
        return self._lpips

    def real(self, pictures: RealImages, batch: int, tick: Tick) -> tuple[Tensor, str]:
        """Features [N, dim] of real pictures and a hash of their pixels.

        Kept features serve again when the pixels are still the same.
        """
        if pictures.name in self._known:
            return self._known[pictures.name]
        file = self._file(pictures)
        kept = _read(file)
        if kept and kept[1] == _hashed(pictures, batch, tick):
            found = kept
        else:
            found = self._features(pictures, batch, tick)
            _write(file, *found)
        self._known[pictures.name] = found
        return found

    def _features(self, pictures: RealImages, batch: int, tick: Tick) -> tuple[Tensor, str]:
        parts, mark = [], hashlib.sha256()
        for images in pictures.batches(batch):
            _add(mark, images)
            parts.append(self.extractor(images).cpu())
            tick(len(images))
        return torch.cat(parts), mark.hexdigest()[:16]

    def fake(self, batches: Iterator[Tensor], tick: Tick) -> Tensor:
        """Features [N, dim] of generated pictures, uint8 batches."""
        parts = []
        for images in batches:
            parts.append(self.extractor(images).cpu())
            tick(len(images))
        return torch.cat(parts)

    def _file(self, pictures: RealImages) -> Path | None:
        if self._kept is None:
            return None
        e = self.extractor
        # In float32 everywhere, but other devices add up in another order.
        computed = f"float32 on {e.device.type}"
        facts = [_VERSION, pictures.name, pictures.count, e.name, e.digest, e.resize, computed]
        mark = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
        return self._kept / f"{mark}.npz"


def _add(mark: Any, images: Tensor) -> None:
    for image in images.numpy():
        mark.update(str(image.shape).encode() + image.tobytes())


def _hashed(pictures: RealImages, batch: int, tick: Tick) -> str:
    mark = hashlib.sha256()
    for images in pictures.batches(batch):
        _add(mark, images)
        tick(len(images))
    return mark.hexdigest()[:16]


def _read(file: Path | None) -> tuple[Tensor, str] | None:
    if file is None or not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as content:
            return torch.from_numpy(content["features"]), str(content["pixels"])
    except Exception:  # a torn or foreign file is made anew
        return None


def _write(file: Path | None, features: Tensor, pixels: str) -> None:
    if file is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, features=features.numpy(), pixels=np.array(pixels))
    try:
        with atomic_write(file) as target:
            target.write(buffer.getvalue())
    except OSError:
        return  # a full or read-only disk costs the next evaluation some time, nothing else


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
    model: Model, data: Any, judge: FeatureCache, request: EvaluationRequest, tick: Tick
) -> list[MetricValue]:
    """A generator of latents against the pictures of `data`, a prepared set of single pictures."""
    split = request.split
    real_count = data.count(split)
    count = request.num_images or real_count
    began = time.monotonic()
    values: list[MetricValue] = []
    if any(name in FEATURES for name in request.metrics):
        about = json.dumps({**data.describe(), "split": split}, sort_keys=True, default=str)
        pictures = RealImages(about, real_count, lambda i: data.picture(split, i))
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
    data: Any,
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
    data: Any,
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
        _add(mark, y)
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


def _domain(data: Any, domain: str, limit: int | None) -> RealImages:
    about = {**data.describe(), "folders": "", "domain": domain, "split": _split(data)}
    count = min(data.test_count(domain), limit or data.test_count(domain))
    name = json.dumps(about, sort_keys=True, default=str)
    return RealImages(name, count, lambda i: data.test_item(domain, i))


def _split(data: Any) -> str:
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


def _labels(model: Model, data: Any, request: EvaluationRequest, seeds: list[int]) -> Tensor | None:
    """Labels as often as training pictures have them."""
    if not model.label_dim:
        return None
    total = data.count("train")
    order = np.random.RandomState(request.seed).permutation(total)
    rows = [data.label("train", int(order[(s - request.seed) % total])) for s in seeds]
    return torch.from_numpy(np.stack(rows)).to(model.precision.device)


@torch.no_grad()
def _generated(model: Model, data: Any, request: EvaluationRequest, count: int) -> Iterator[Tensor]:
    """uint8 [n, C, H, W] of the request's seeds."""
    for seeds in _parts(request, count):
        c = _labels(model, data, request, seeds)
        points = model.points(seeds, c, psi=request.truncation_psi)
        yield to_uint8(model.render(points, "const", seeds)).cpu()


@torch.no_grad()
def _paths(
    model: Model, data: Any, request: EvaluationRequest, count: int, tick: Tick
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
