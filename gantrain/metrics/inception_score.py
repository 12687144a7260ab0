"""Inception Score (Salimans et al. 2016)."""

import math

import torch
from torch import Tensor


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """exp of the mean KL divergence between p(y|x) and p(y), and its deviation over `splits` parts.

    Args:
        logits: [N, classes], in an order that has nothing to do with the classes.
    """
    scores = []
    for part in logits.double().tensor_split(min(splits, len(logits))):
        log_p = part.log_softmax(1)
        log_mean = log_p.logsumexp(0) - math.log(len(part))
        divergence = (log_p.exp() * (log_p - log_mean)).sum(1).mean()
        scores.append(divergence.exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))
