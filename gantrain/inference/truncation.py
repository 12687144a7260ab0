"""Truncation towards the mean w of a label instead of that of all images."""

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

Center: TypeAlias = Literal["global", "class"]  # of truncation
Centers: TypeAlias = dict[tuple[float, ...], Tensor]  # mean w by label

SAMPLES = 4096  # z whose mean w is the centre of a label
BATCH = 512


@torch.no_grad()
def label_centers(mapping: nn.Module, z_dim: int, c: Tensor, known: Centers) -> Tensor:
    """Return the mean w of each label, [N, w_dim], over `SAMPLES` z.

    Args:
        mapping: from z [N, z_dim] and labels to ws [N, num_ws, w_dim].
        z_dim: entries of z.
        c: labels [N, label_dim]; equal ones are computed once.
        known: centres by label, to which new ones are added.
    """
    labels = [tuple(row) for row in c.tolist()]
    missing = {label: row for label, row in zip(labels, c, strict=True) if label not in known}
    parts = _draw(z_dim, c.device) if missing else ()
    for label, row in missing.items():
        ws = [mapping(z, row.expand(len(z), -1))[:, 0] for z in parts]
        known[label] = torch.cat(ws).mean(0)
    return torch.stack([known[label] for label in labels])


def _draw(z_dim: int, device: torch.device) -> tuple[Tensor, ...]:
    draw = np.random.RandomState(0).randn(SAMPLES, z_dim)
    return torch.from_numpy(draw.astype(np.float32)).to(device).split(BATCH)


def truncate(ws: Tensor, centers: Tensor, psi: float, cutoff: int | None) -> Tensor:
    """Return centers + psi (ws - centers) in the first `cutoff` layers (None: in all).

    Args:
        ws: [N, num_ws, w_dim].
        centers: [N, w_dim].
        psi: 1 leaves ws unchanged.
        cutoff: at most num_ws.
    """
    count = ws.shape[1] if cutoff is None else cutoff
    return torch.cat([centers[:, None].lerp(ws[:, :count], psi), ws[:, count:]], dim=1)
