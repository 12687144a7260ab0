"""Truncation towards the mean w of a label instead of that of all images."""

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

Center: TypeAlias = Literal["global", "class"]  # of truncation

SAMPLES = 4096  # z whose mean w is the centre of a label
BATCH = 512


def label_centers(mapping: nn.Module, z_dim: int, c: Tensor) -> Tensor:
    """Return the mean w of each label, [N, w_dim], over `SAMPLES` z.

    Args:
        mapping: from z [N, z_dim] and labels to ws [N, num_ws, w_dim].
        z_dim: entries of z.
        c: labels [N, label_dim]; equal ones are computed once.
    """
    draw = np.random.RandomState(0).randn(SAMPLES, z_dim)
    parts = torch.from_numpy(draw.astype(np.float32)).to(c.device).split(BATCH)
    distinct, index = c.unique(dim=0, return_inverse=True)
    centers = [
        torch.cat([mapping(z, row.expand(len(z), -1))[:, 0] for z in parts]).mean(0)
        for row in distinct
    ]
    return torch.stack(centers)[index]


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
