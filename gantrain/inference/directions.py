"""Directions in w along which images change in one way.

PCA: Härkönen et al. 2020, "GANSpace" (arXiv 2004.02546). Closed-form factorization: Shen & Zhou
2021, "SeFa" (arXiv 2007.06600). Boundaries: Shen et al. 2020, "InterFaceGAN" (arXiv 1907.10786).

Signs: the entry of largest magnitude of a direction of pca and sefa is positive; the others point
to the class, to the second examples, or to what came after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gantrain.errors import ConfigError, agreed, counted
from gantrain.inference import linear_classifier
from gantrain.inference.editing import Directions
from gantrain.inference.labels import Label
from gantrain.inference.linear_classifier import LinearClassifier
from gantrain.inference.model import Model
from gantrain.inference.projection import for_lpips
from gantrain.metrics.lpips import LPIPS

SAMPLES = 10_000  # latents
IMAGES = 2_000  # generated images that a classifier of examples tells apart
CONFIDENT = 5  # a fifth of them on each side is sure enough for the boundary in w
BATCH = 500  # latents through the mapping at once


@dataclass(frozen=True)
class Sampling:
    """Which latents directions are found in.

    Attributes:
        samples: their number: the seeds from 0.
        label: see `Model.sample`.
        layers: the layers that the directions are meant for; None: all.
    """

    samples: int = SAMPLES
    label: Label | None = None
    layers: Sequence[int] | None = None


def sample_w(model: Model, sampling: Sampling) -> tuple[Tensor, Tensor | None]:
    """Return w of the seeds 0, 1, ..., float64 [N, w_dim], and their labels, both on the CPU."""
    ws, labels = [], []
    with torch.no_grad():
        for start in range(0, sampling.samples, BATCH):
            seeds = range(start, min(start + BATCH, sampling.samples))
            c = model.label_batch(seeds, sampling.label)
            ws.append(model.mapping(model.latents(seeds), c)[:, 0].cpu().double())
            labels += [] if c is None else [c.cpu()]
    return torch.cat(ws), torch.cat(labels) if labels else None


def pca(w: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the first principal components of w, and the share of the variance of each.

    Args:
        w: float64 [N, w_dim].
        count: K.

    Returns:
        [K, w_dim], and [K].
    """
    x = w - w.mean(0)
    covariance = x.T @ x / (len(x) - 1)
    variances, vectors = torch.linalg.eigh(covariance)  # in ascending order
    explained = variances.clamp_min(0) / variances.sum()
    return orient(vectors.T.flip(0)[:count]), explained.flip(0)[:count]


def sefa(weights: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Return the directions that change styles most: the largest |A n| with |n| = 1.

    Args:
        weights: of the affine layers, each [C, w_dim]; A is all of them, one below the other.
        count: K.

    Returns:
        [K, w_dim], eigenvectors of A^T A, and [K], the share of each in the sum of eigenvalues.
    """
    A = torch.cat([weight.detach().cpu().double() for weight in weights])
    _, singular, vectors = torch.linalg.svd(A, full_matrices=True)
    eigenvalues = torch.zeros(A.shape[1], dtype=torch.float64)  # 0 where A has fewer rows
    eigenvalues[: len(singular)] = singular.square()
    return orient(vectors[:count]), (eigenvalues / eigenvalues.sum())[:count]


def orient(vectors: Tensor) -> Tensor:
    """Return vectors [K, D] with signs such that the entry of largest magnitude is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign()


def mean_difference(before: Tensor, after: Tensor) -> tuple[Tensor, float | None]:
    """Return the mean of after - before, [w_dim], and how consistent the differences are.

    Args:
        before: w of N images [N, w_dim].
        after: w of the same images, changed.

    Returns:
        The mean, and the mean cosine between the differences of two pairs: 1 if all agree, about 0
        if they have nothing in common; None: there is one pair.
    """
    difference = after.double() - before.double()
    units = torch.nn.functional.normalize(difference, dim=1)
    n = len(units)
    # |sum of u_i|^2 is the sum of all cosines, among them n of a pair with itself.
    cosine = None if n == 1 else float((units.sum(0).square().sum() - n) / (n * (n - 1)))
    return difference.mean(0), cosine


def explain_count(count: int, w_dim: int, samples: int | None = None) -> list[str]:
    """Return a sentence if there are not `count` directions in w, else none.

    Args:
        count: how many.
        w_dim: entries of w.
        samples: latents that they are found in; None: they do not depend on any.
    """
    if count > w_dim:
        return [f"count={count}: w of this generator has only {w_dim} entries."]
    if samples is not None and count >= samples:
        found = f"{counted(count, 'direction')} {agreed(count, 'need')}"
        return [f"count={count}: {found} more than {samples} samples."]
    return []


def find_pca(model: Model, count: int, sampling: Sampling) -> Directions:
    """Return the principal components of w, see `pca`.

    Raises:
        ConfigError: there are fewer than `count`.
    """
    if problems := explain_count(count, model.style.w_dim, sampling.samples):
        raise ConfigError(*problems)
    w, _ = sample_w(model, sampling)
    vectors, explained = pca(w, count)
    return _assemble(model, "pca", vectors, w, sampling, explained=explained)


def find_sefa(model: Model, count: int, sampling: Sampling) -> Directions:
    """Return the directions that change the styles of the layers most, see `sefa`.

    Raises:
        ConfigError: the layers have no modulated convolution, or w has fewer than `count` entries.
    """
    if problems := explain_count(count, model.style.w_dim):
        raise ConfigError(*problems)
    weights = modulation_weights(model, sampling.layers)
    vectors, explained = sefa(weights, count)
    w, _ = sample_w(model, sampling)
    return _assemble(model, "sefa", vectors, w, sampling, explained=explained)


def modulation_weights(model: Model, layers: Sequence[int] | None) -> list[Tensor]:
    """Return the affine weights [C, w_dim] of the modulated convolutions of some layers.

    Raises:
        ConfigError: there are none; layers of a ToRGB alone, and the input of StyleGAN3, have none.
    """
    synthesis = model.style.synthesis
    if not hasattr(synthesis, "modulation_weights"):
        raise ConfigError(
            f"method=sefa needs a synthesis network with modulation_weights(), and this is a "
            f"{type(synthesis).__name__}: use method=pca."
        )
    by_layer: dict[int, Tensor] = synthesis.modulation_weights()  # type: ignore[operator]
    chosen = [w for layer, w in by_layer.items() if layers is None or layer in layers]
    if not chosen:
        raise ConfigError(
            f"layers: none of these has a modulated convolution; they are {min(by_layer)} to "
            f"{max(by_layer)}."
        )
    return chosen


def find_labels(model: Model, sampling: Sampling, say: Callable[[str], None]) -> Directions:
    """Return for each class the normal of the boundary between its w and those of the others.

    Args:
        model: a conditional generator with classes.
        sampling: without a label.
        say: called with a sentence about classes that no seed or every seed has.

    Raises:
        ConfigError: no class has a boundary.
    """
    w, labels = sample_w(model, sampling)
    assert labels is not None
    known = [str(name) for name in (model.labels or {}).get("names") or ()]
    names = known if len(known) == labels.shape[1] else [str(i) for i in range(labels.shape[1])]
    vectors, accuracies, fitted = [], [], []
    for name, column in zip(names, labels.unbind(1), strict=True):
        positive = column > 0.5
        if min(int(positive.sum()), int((~positive).sum())) < 2:
            say(f"class {name} is left out: its images or the others are too few; raise samples.")
            continue
        classifier = linear_classifier.fit(w, positive)
        vectors.append(classifier.normal)
        accuracies.append(classifier.accuracy)
        fitted.append(name)
    if not vectors:
        raise ConfigError("method=labels: no class has images besides those of others.")
    accuracy = torch.tensor(accuracies, dtype=torch.float64)
    return _assemble(model, "labels", torch.stack(vectors), w, sampling, fitted, accuracy=accuracy)


def find_between_examples(
    model: Model,
    lpips: LPIPS,
    examples: tuple[Tensor, Tensor],
    names: tuple[str, str],
    sampling: Sampling,
    batch: int,
    report: Callable[[int], None] | None = None,
) -> tuple[Directions, float]:
    """Return the direction from images like the first examples to images like the second.

    A linear classifier of pooled features of VGG is fitted to the examples. It scores generated
    images, and the boundary in w lies between the fifths of them that are surest.

    Args:
        model: a generator with w.
        lpips: on the same device; its heads are not used.
        examples: two sets of images, float [N, C, H, W] in [-1, 1], as the generator makes them;
            two or more each.
        names: of the sets.
        sampling: the images to generate, 10 or more.
        batch: images at once.
        report: called with the number of images that were made; None: nobody asks.

    Returns:
        One direction, with its accuracy in w; and that of the classifier of examples.
    """
    classifier = fit_examples(lpips, examples, batch)
    w, _ = sample_w(model, sampling)
    scores = []
    for start in range(0, len(w), batch):
        ws = w[start : start + batch].float().to(model.precision.device)
        seeds = range(start, start + len(ws))
        with torch.no_grad():
            images = model.synthesize(ws[:, None].repeat(1, model.style.num_ws, 1), "const", seeds)
        scores.append(classifier.score(pooled_features(lpips, images)))
        if report is not None:
            report(len(ws))
    order = torch.cat(scores).argsort()
    sure = max(2, len(order) // CONFIDENT)
    chosen = torch.cat([order[:sure], order[-sure:]])
    boundary = linear_classifier.fit(w[chosen], torch.arange(2 * sure) >= sure)
    accuracy = torch.tensor([boundary.accuracy], dtype=torch.float64)
    vectors = boundary.normal[None]
    name = f"{names[0]} to {names[1]}"
    found = _assemble(model, "labels", vectors, w, sampling, [name], accuracy=accuracy)
    return found, classifier.accuracy


def fit_examples(lpips: LPIPS, examples: tuple[Tensor, Tensor], batch: int) -> LinearClassifier:
    """Return the classifier of pooled features that tells the second examples from the first.

    Args:
        lpips: see `find_between_examples`.
        examples: see `find_between_examples`.
        batch: images at once.
    """
    a, b = (
        torch.cat([pooled_features(lpips, part) for part in images.split(batch)])
        for images in examples
    )
    is_b = torch.arange(len(a) + len(b)) >= len(a)
    return linear_classifier.fit(torch.cat([a, b]), is_b)


@torch.no_grad()
def pooled_features(lpips: LPIPS, images: Tensor) -> Tensor:
    """Return the means of VGG's five normalized maps, float64 [N, 1472], on the CPU."""
    maps = lpips.embed(for_lpips(images.to(lpips.shift.device)))
    return torch.cat([x.mean((2, 3)) for x in maps], dim=1).cpu().double()


def find_pairs(model: Model, before: Tensor, after: Tensor, sampling: Sampling) -> Directions:
    """Return the mean direction from some ws to others, see `mean_difference`.

    Args:
        model: a generator with w.
        before: ws [N, num_ws, w_dim].
        after: ws of the same images, changed.
        sampling: of the standard deviation; its layers are those of the differences.

    Raises:
        ConfigError: the mean difference is 0.
    """
    layers = list(_layers(model, sampling))
    mean, cosine = mean_difference(before[:, layers].mean(1), after[:, layers].mean(1))
    if not mean.norm():
        raise ConfigError("before and after do not differ on average: there is no direction.")
    quality = {} if cosine is None else {"consistency": torch.tensor([cosine]).double()}
    w, _ = sample_w(model, sampling)
    return _assemble(model, "pairs", mean[None], w, sampling, ["before to after"], **quality)


def _layers(model: Model, sampling: Sampling) -> tuple[int, ...]:
    return tuple(range(model.style.num_ws) if sampling.layers is None else sampling.layers)


def _assemble(
    model: Model,
    method: str,
    vectors: Tensor,
    w: Tensor,
    sampling: Sampling,
    names: list[str] | None = None,
    **quality: Tensor,
) -> Directions:
    """Return directions of unit length, with the standard deviation of w along each."""
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    return Directions(
        method=method,
        names=names or [f"{method}{i}" for i in range(len(vectors))],
        vectors=vectors.float().cpu(),
        scale=(w @ vectors.T).std(0).float(),
        layers=_layers(model, sampling),
        quality=quality,
    )
