"""Linear separability of latents (Karras et al. 2019, section 4.2 and appendix C).

For each attribute a linear support vector machine predicts the label Y of an image from its latent.
What the prediction X leaves unknown is the conditional entropy

    H(Y|X) = -sum over x, y of p(x, y) log p(y|x),

and separability is exp(sum over the attributes of H(Y|X)): 1 if a hyperplane tells each attribute's
images apart; exp(sum of H(Y)), 2 for one balanced attribute, if latents say nothing.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def conditional_entropy(labels: Tensor, predicted: Tensor) -> float:
    """Return H(Y|X) in nats.

    Args:
        labels: Y, bool [N].
        predicted: X, bool [N].
    """
    joint = torch.stack([(labels == y) & (predicted == x) for x in (0, 1) for y in (0, 1)])
    p = joint.double().mean(1).view(2, 2)  # p(x, y)
    given = p / p.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)  # p(y|x)
    return float(-torch.xlogy(p, given).sum())


def separability(entropies: Iterable[float]) -> float:
    """Return exp(sum of H(Y|X) over the attributes), 1 at best."""
    return math.exp(sum(entropies))
