"""Inception Score (Salimans et al. 2016, arXiv 1606.03498)."""

import math

import torch
from torch import Tensor


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Return the mean and the standard deviation of exp(E KL(p(y|x) || p(y))) over splits.

    Args:
        logits: [N, classes], in an order independent of the classes.
        splits: number of parts; p(y) is estimated in each part by itself.
    """
    scores = []
    for part in logits.double().tensor_split(min(splits, len(logits))):
        log_p = part.log_softmax(1)
        log_mean = log_p.logsumexp(0) - math.log(len(part))
        divergence = (log_p.exp() * (log_p - log_mean)).sum(1).mean()
        scores.append(divergence.exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))
