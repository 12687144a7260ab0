"""The losses of a phase and their gradients. Only this module calls backward."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.gans.base import Batch, Phase, Step

Context = Callable[[], AbstractContextManager[Any]]
Values = list[tuple[str, Tensor]]


def prepare(phase: Phase, batch: Batch, step: Step) -> Batch:
    """Return what a phase prepares for its losses, on the batch's device.

    Args:
        phase: the phase.
        batch: the microbatch.
        step: training progress.

    Raises:
        ConfigError: the batch has an entry of that name already.
    """
    device = next(iter(batch.values())).device
    prepared = phase.prepare(batch, step)
    if taken := prepared.keys() & batch.keys():
        names = ", ".join(sorted(taken))
        raise ConfigError(
            f"what phase {phase.name} prepares has names of the batch ({names}): give it others."
        )
    return {name: _to_device(x, device) for name, x in prepared.items()}


def _to_device(x: Tensor, device: torch.device) -> Tensor:
    if x.device == device:
        return x
    # From pinned memory, so that the host does not wait for the copy.
    x = x.pin_memory() if device.type == "cuda" else x
    return x.to(device, non_blocking=True)


def without_graphs(batch: Batch) -> Batch:
    """Return the entries of a batch, detached where they have a graph."""
    return {name: x.detach() if x.requires_grad else x for name, x in batch.items()}


def backpropagate(
    phase: Phase,
    batch: Batch,
    prepared: Batch,
    step: Step,
    weight: float,
    forward: Context,
    keep_graph: bool = False,
) -> Values:
    """Add weight * gradient of every dict of losses that a phase yields to the parameters' .grad.

    Args:
        phase: the phase.
        batch: the microbatch, to which the phase may add entries.
        prepared: from `prepare`, seen by this phase alone.
        step: training progress.
        weight: factor of all losses.
        forward: () -> the context of forward passes, such as autocast.
        keep_graph: whether entries that the phase adds may have a graph, for one that continues it.

    Returns:
        The values that it yields, detached, by "loss/<phase>/<name>" or "score/<phase>/<name>".
    """
    values: Values = []
    entries = {**batch, **prepared}
    losses = phase.losses(entries, step)
    while True:
        with forward():  # the code between two yields runs here
            terms = next(losses, None)
        if terms is None:
            left = {k: x for k, x in entries.items() if k not in prepared and x is not batch.get(k)}
            batch.update(left if keep_graph else without_graphs(left))
            return values
        for name, value in terms.items():
            kind = "loss" if value.requires_grad else "score"
            values.append((f"{kind}/{phase.name}/{name}", value.detach()))
        if with_gradient := [value for value in terms.values() if value.requires_grad]:
            (torch.stack(with_gradient).sum() * weight).backward()
