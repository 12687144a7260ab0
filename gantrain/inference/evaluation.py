"""Evaluate generators: compute the metrics of real and generated images."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.data.base import Dataset
from gantrain.errors import ConfigError
from gantrain.inference import separability
from gantrain.inference.directions import fit_examples, pooled_features
from gantrain.inference.equivariance import moved_pairs
from gantrain.inference.features import FeatureCache, RealImages, Tick, update_digest
from gantrain.inference.model import Model
from gantrain.inference.pictures import look_of, seen_items
from gantrain.inference.translation import METRICS as PIXELWISE
from gantrain.inference.translation import translate
from gantrain.metrics.equivariance import psnr
from gantrain.metrics.extractor import Extractor
from gantrain.metrics.fid import fid
from gantrain.metrics.inception_score import inception_score
from gantrain.metrics.kid import kid, kid_std
from gantrain.metrics.lpips import LPIPS
from gantrain.metrics.moments import moments
from gantrain.metrics.path_length import path_endpoints, path_length
from gantrain.metrics.precision_recall import density_coverage, precision_recall
from gantrain.metrics.protocol import EQUIVARIANCE, FEATURES, PAIRED, MetricValue, Protocol
from gantrain.metrics.requirements import LEAST_SIDES
from gantrain.ops.precision import full_float32
from gantrain.ops.value_range import to_float, to_uint8

_SUBSETS = 20  # for the standard deviation of KID
_MAX_PSNR = 108.0  # dB, that of one level in one pixel of a megapixel; equal images have inf


@dataclass(frozen=True)
class EvaluationRequest:
    """What to measure, and how.

    Args:
        metrics: names of metrics.
        num_images: generated images, or images per domain; None: as many as there are real ones.
        split: "train" or "test" images of a data set of single images.
        seed: of latents and subsets.
        truncation_psi: of a generator with w.
        batch: images at once.
        spread: whether to compute KID's standard deviation, which takes time.
        examples: of an attribute, for separability: images without and with it, float [N, C, H, W]
            in [-1, 1]; None: the attributes are the classes.
    """

    metrics: Sequence[str]
    num_images: int | None
    split: str
    seed: int
    truncation_psi: float
    batch: int
    spread: bool = True
    examples: tuple[Tensor, Tensor] | None = None


def feature_metrics(
    networks: FeatureCache, real: Tensor, fake: Tensor, request: EvaluationRequest
) -> Iterator[tuple[str, float, float | None]]:
    """Yield (name, value, standard deviation or None) for each requested metric of features.

    Args:
        networks: the feature network.
        real: features [N, dim].
        fake: features [M, dim].
        request: what to measure.
    """
    if networks.extractor.device.type == "cuda":  # float64 products of 50,000 samples
        real, fake = real.to(networks.extractor.device), fake.to(networks.extractor.device)
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
            logits = networks.extractor.logits(fake.to(networks.extractor.device)).cpu()
            yield (name, *inception_score(logits))


def evaluate_latents(
    model: Model, data: Dataset, networks: FeatureCache, request: EvaluationRequest, tick: Tick
) -> list[MetricValue]:
    """Evaluate a generator of latents against real images.

    Args:
        model: the generator.
        data: a prepared data set of single images.
        networks: the metrics' networks.
        request: what to measure.
        tick: called with the number of images that were processed.
    """
    split = request.split
    real_count = data.train_count("image") if split == "train" else data.held_count("image")
    count = request.num_images or real_count
    start = time.monotonic()
    values: list[MetricValue] = []
    if any(name in FEATURES for name in request.metrics):
        description = json.dumps({**data.describe(), "split": split}, sort_keys=True, default=str)
        get = data.train_item if split == "train" else data.test_item
        images = RealImages(description, real_count, lambda i: get("image", i))
        real, pixels = networks.real_features(images, request.batch, tick)
        fake = networks.fake_features(_generate(model, data, request, count), tick)
        protocol = _protocol(networks.extractor, request, model, real_count, count, split, pixels)
        for name, value, std in feature_metrics(networks, real, fake, request):
            values.append(MetricValue(name, value, protocol, None, std, time.monotonic() - start))
    if "path_length" in request.metrics:
        start = time.monotonic()
        pairs = _generate_steps(model, data, request, count, tick)
        value = path_length(pairs, lambda x, y: networks.lpips(x, y).cpu())
        protocol = _protocol(None, request, model, 0, count, split, "")
        values.append(
            MetricValue("path_length", value, protocol, None, None, time.monotonic() - start)
        )
    if "separability" in request.metrics:
        values += _separability(model, data, networks, request, count, tick)
    for name in (name for name in request.metrics if name in EQUIVARIANCE):
        start = time.monotonic()
        value = psnr(_generate_moved(model, data, request, count, name, tick))
        protocol = replace(_protocol(None, request, model, 0, count, split, ""), quantise="none")
        values.append(MetricValue(name, value, protocol, None, None, time.monotonic() - start))
    return values


def _separability(
    model: Model,
    data: Dataset,
    networks: FeatureCache,
    request: EvaluationRequest,
    count: int,
    tick: Tick,
) -> Iterator[MetricValue]:
    """Yield the values of separability, see `gantrain.inference.separability`."""
    start = time.monotonic()
    judge, labels = None, "asked for"
    if request.examples is not None:
        judge, labels = _judge(networks.lpips, request.examples, request.batch)
    values = separability.measure(
        model,
        _seed_batches(request, count),
        lambda seeds: training_labels(model, data, seeds, request.seed),
        request.truncation_psi,
        judge,
        tick,
    )
    protocol = replace(
        _protocol(None, request, model, 0, count, request.split, ""),
        quantise="none",
        labels=f"{labels}; halves predicted crosswise by a linear SVM (squared hinge, C=1)",
    )
    for name, value in values.items():
        yield MetricValue(name, value, protocol, None, None, time.monotonic() - start)


def _judge(
    lpips: LPIPS, examples: tuple[Tensor, Tensor], batch: int
) -> tuple[Callable[[Tensor], Tensor], str]:
    """Return what scores images by examples, and how, for the protocol."""
    classifier = fit_examples(lpips, examples, batch)
    hasher = hashlib.sha256()
    for images in examples:
        update_digest(hasher, to_uint8(images))
    counts = " + ".join(str(len(images)) for images in examples)

    def score(images: Tensor) -> Tensor:
        return classifier.score(pooled_features(lpips, images.clamp(-1, 1)))

    return score, (
        f"the surest half by logistic regression of pooled VGG features of {counts} examples "
        f"({hasher.hexdigest()[:16]})"
    )


def evaluate_translation(
    generators: dict[str, nn.Module],
    model: Model,
    data: Dataset,
    networks: FeatureCache,
    request: EvaluationRequest,
    tick: Tick,
) -> list[MetricValue]:
    """Evaluate generators between two domains on test images.

    Translations are compared with real images of the target domain, and with their ground truth if
    the test images are paired.

    Args:
        generators: by direction, "ab" or "ba".
        model: the snapshot they belong to.
        data: a prepared data set of two domains.
        networks: the metrics' networks.
        request: what to measure.
        tick: called with the number of images that were processed.
    """
    values: list[MetricValue] = []
    look = look_of(data.describe())
    for direction, generator in generators.items():
        source, target = (_domain(data, domain, request.num_images) for domain in direction)
        start = time.monotonic()
        if any(name in FEATURES for name in request.metrics):
            real, pixels = networks.real_features(target, request.batch, tick)
            inputs = _domain(data, direction[0], request.num_images, stored=True)
            translations = (
                translate(generator, x, model.precision, look) for x in inputs.stored(request.batch)
            )
            fake = networks.fake_features(translations, tick)
            counts = (target.count, source.count)
            protocol = _protocol(networks.extractor, request, model, *counts, _split(data), pixels)
            for name, value, std in feature_metrics(networks, real, fake, request):
                seconds = time.monotonic() - start
                values.append(MetricValue(name, value, protocol, direction, std, seconds))
            # The baseline: the distance of the unchanged inputs.
            baseline, _ = networks.real_features(source, request.batch, tick)
            for name, value, std in feature_metrics(networks, real, baseline, request):
                if name in ("fid", "kid"):
                    values.append(MetricValue(f"{name}_input", value, protocol, direction, std))
        if any(name in PAIRED for name in request.metrics) and data.has_pairs:
            values += _paired_metrics(generator, direction, model, data, networks, request, tick)
    return values


def _paired_metrics(
    generator: nn.Module,
    direction: str,
    model: Model,
    data: Dataset,
    networks: FeatureCache,
    request: EvaluationRequest,
    tick: Tick,
) -> Iterator[MetricValue]:
    """Yield the means over the test pairs of the pixel-wise metrics and LPIPS."""
    start = time.monotonic()
    source = _domain(data, direction[0], request.num_images, stored=True)
    target, look = _domain(data, direction[1], request.num_images), look_of(data.describe())
    names = [name for name in request.metrics if name in PAIRED]
    scores: dict[str, list[Tensor]] = {name: [] for name in names}
    hasher = hashlib.sha256()
    for x, y in zip(source.stored(1), target.batches(1), strict=False):
        fake = translate(generator, x, model.precision, look)
        update_digest(hasher, y)
        for name in names:
            if name == "lpips":
                if min(y.shape[-2:]) < (least := LEAST_SIDES["lpips"]):
                    raise ConfigError(f"lpips needs images of at least {least} pixels.")
                device = next(networks.lpips.parameters()).device
                pair = [to_float(image).expand(-1, 3, -1, -1).to(device) for image in (fake, y)]
                scores[name].append(networks.lpips(*pair).cpu().double())
            else:
                scores[name].append(PIXELWISE[name](fake, y).clamp(max=_upper_bound(name)))
        tick(1)
    pixels, count = hasher.hexdigest()[:16], min(source.count, target.count)
    for name in names:
        protocol = _protocol(None, request, model, count, count, _split(data), pixels)
        value = float(torch.cat(scores[name]).mean())
        yield MetricValue(name, value, protocol, direction, None, time.monotonic() - start)


def _upper_bound(name: str) -> float:
    return _MAX_PSNR if name == "psnr" else float("inf")


def _domain(data: Dataset, domain: str, limit: int | None, stored: bool = False) -> RealImages:
    """Return the first `limit` test images of a domain, as they look; or as they are stored."""
    description = {**data.describe(), "folders": "", "domain": domain, "split": _split(data)}
    count = min(data.test_count(domain), limit or data.test_count(domain))
    name = json.dumps(description, sort_keys=True, default=str)
    get = partial(data.test_item, domain)
    return RealImages(name, count, get if stored else seen_items(data, data.test_item, domain))


def _split(data: Dataset) -> str:
    """Return "train" if a set without test images tests on training images, else "test"."""
    test_is_train = data.describe().get("test_is_train", {})
    return "train" if any(test_is_train.values()) else "test"


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
        test_mode="" if model.test_mode == "eval" else model.test_mode,
    )


def _seed_batches(request: EvaluationRequest, count: int) -> Iterator[list[int]]:
    seeds = range(request.seed, request.seed + count)
    yield from ([*seeds[i : i + request.batch]] for i in range(0, count, request.batch))


def training_labels(model: Model, data: Dataset, seeds: Sequence[int], first: int) -> Tensor | None:
    """Return labels [N, label_dim] for seeds, with the frequencies of the training images.

    Args:
        model: None is returned if it is unconditional.
        data: the set that it was trained on.
        seeds: N seeds.
        first: the lowest of all seeds; the order of the labels follows from it.
    """
    if not model.label_dim:
        return None
    total = data.train_count("image")
    order = np.random.RandomState(first).permutation(total)
    rows = [data.train_item("label", int(order[(s - first) % total])) for s in seeds]
    return torch.from_numpy(np.stack(rows)).to(model.precision.device)


@torch.no_grad()
def _generate(
    model: Model, data: Dataset, request: EvaluationRequest, count: int
) -> Iterator[Tensor]:
    """Yield `count` generated images, uint8 [n, C, H, W] on the CPU."""
    for seeds in _seed_batches(request, count):
        c = training_labels(model, data, seeds, request.seed)
        latents = model.latent_inputs(seeds, c, psi=request.truncation_psi)
        yield to_uint8(model.synthesize(latents, "const", seeds)).cpu()


@torch.no_grad()
def _generate_steps(
    model: Model, data: Dataset, request: EvaluationRequest, count: int, tick: Tick
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images at both ends of `count` short steps in w, float [n, C, H, W].

    In full float32: with coarser rounding the images would differ by the rounding alone.
    """
    device = model.precision.device
    model = replace(model, precision=model.precision.without_autocast())
    for seeds in _seed_batches(request, count):
        c = training_labels(model, data, seeds, request.seed)
        # A path leads from the w of one seed to that of another seed with the same label.
        path_seeds = [*seeds, *(seed + count for seed in seeds)]
        path_labels = None if c is None else torch.cat([c, c])
        with full_float32(device):
            start, end = path_endpoints(model.mapping(model.latents(path_seeds), path_labels))
            pair = model.synthesis(start), model.synthesis(end)
        yield pair
        tick(len(seeds))


def _generate_moved(
    model: Model, data: Dataset, request: EvaluationRequest, count: int, metric: str, tick: Tick
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (reference, image, mask) of `count` images whose canvas was moved."""
    for seeds in _seed_batches(request, count):
        c = training_labels(model, data, seeds, request.seed)
        with torch.no_grad():
            ws = model.latent_inputs(seeds, c, psi=request.truncation_psi)
        yield from moved_pairs(model, ws, metric, seeds)
        tick(len(seeds))
