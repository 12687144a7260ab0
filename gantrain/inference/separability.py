"""Linear separability of z and w, see `gantrain.metrics.separability`.

It is measured as Karras et al. 2019 did (appendix C), but for

- the labels: the paper asks classifiers of CelebA's forty attributes. Here a generator with classes
  has its own: each image has the label that was asked for, every class is an attribute, and nothing
  is left out, because nobody is unsure. Or one attribute is given by two folders of examples: a
  logistic regression of pooled features of VGG tells generated images apart, and the half of which
  it is surest is kept, as in the paper;
- the predictions: the paper's machines predict the 100,000 samples that they were fitted to. Fewer
  samples could always be separated, so here each half is predicted by the machine of the other one.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.inference.linear_classifier import predict_halves
from gantrain.inference.model import Model
from gantrain.metrics.separability import conditional_entropy, separability


@torch.no_grad()
def measure(
    model: Model,
    batches: Iterable[Sequence[int]],
    labels_of: Callable[[Sequence[int]], Tensor | None],
    psi: float,
    judge: Callable[[Tensor], Tensor] | None,
    tick: Callable[[int], None],
) -> dict[str, float]:
    """Return separability by its name: of z, of w if there is one, and of latents that say nothing.

    Args:
        model: a generator of latents; with w and classes, unless images are judged.
        batches: seeds.
        labels_of: seeds -> labels [N, label_dim] to ask for; None: unconditional.
        psi: truncation of w.
        judge: images [N, C, H, W] about [-1, 1] -> scores [N] on the CPU, above 0 of those with the
            attribute; None: the attributes are the labels' entries.
        tick: called with the number of latents that were made.

    Raises:
        ConfigError: all judged images are alike.
    """
    z, w, found = [], [], []
    for seeds in batches:
        c = labels_of(seeds)
        latents = model.latent_inputs(seeds, c, psi=psi)
        z.append(model.latents(seeds).cpu())
        w += [latents[:, 0].cpu()] if model.has_w else []
        if judge is not None:
            found.append(judge(model.synthesize(latents, "const", seeds)))
        elif c is not None:
            found.append(c.cpu())
        tick(len(seeds))
    spaces = {"separability_z": torch.cat(z)}
    spaces |= {"separability_w": torch.cat(w)} if w else {}
    if judge is None:
        attributes = _attributes(torch.cat(found))
    else:
        kept, attribute = _surest_half(torch.cat(found))
        spaces = {name: x[kept] for name, x in spaces.items()}
        attributes = [attribute]
    values = {
        name: separability(conditional_entropy(y, predict_halves(x, y)) for y in attributes)
        for name, x in spaces.items()
    }
    shares = [float(y.double().mean()) for y in attributes]
    return values | {"separability_chance": math.exp(sum(map(_entropy, shares)))}


def _attributes(labels: Tensor) -> list[Tensor]:
    """Return the entries of labels [N, K] as attributes, bool [N] each."""
    columns = [column > 0.5 for column in labels.unbind(1)]
    # Two classes are one attribute.
    return columns[1:] if len(columns) == 2 and torch.equal(columns[0], ~columns[1]) else columns


def _surest_half(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of the scores [N] that are farthest from 0, and which are above 0."""
    kept = scores.abs().argsort(descending=True)[: len(scores) // 2]
    attribute = scores[kept] > 0
    if attribute.all() or not attribute.any():
        raise ConfigError(
            f"separability: the {len(kept)} generated images that the classifier of the examples "
            f"is surest of are all like the {'second' if attribute.all() else 'first'} folder's: "
            "give examples that are more like them, or differ in what the generator varies."
        )
    return kept, attribute


def _entropy(share: float) -> float:
    """Return H(Y) in nats of an attribute that a share of the samples has."""
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)
