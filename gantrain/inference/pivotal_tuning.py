"""Pivotal tuning: adapt a generator to a few real images (Roich et al. 2021, arXiv 2106.05744)."""

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from gantrain.inference.generators import StyleGenerator
from gantrain.inference.projection import for_lpips, mean_square
from gantrain.metrics.lpips import LPIPS


def tune(
    generator: StyleGenerator,
    ws: Tensor,
    images: Tensor,
    lpips: LPIPS,
    *,
    steps: int,
    lr: float,
    batch: int,
    report: Callable[[int, float], None] = lambda step, lpips: None,
) -> nn.Module:
    """Return a generator whose images of `ws` are nearer to `images` than those of `generator`.

    Minimizes LPIPS + MSE (eq. 3 of the paper) over the synthesis network, with ws and the stored
    noise fixed. The mapping network stays, and so does what seeds look like, roughly.

    Args:
        generator: it is copied. Needs w.
        ws: the pivots [N, num_ws, w_dim], projections of the images.
        images: [N, C, H, W] in [-1, 1].
        lpips: on the same device.
        steps: of Adam; each takes the next `batch` images in turn.
        lr: its learning rate.
        batch: images per step, at most N.
        report: called in every step with its number and the mean LPIPS.
    """
    tuned = copy.deepcopy(cast(nn.Module, generator))
    synthesis = cast(StyleGenerator, tuned).synthesis.requires_grad_(True)
    optimizer = torch.optim.Adam(synthesis.parameters(), lr=lr)
    count = min(batch, len(images))
    with torch.no_grad():
        targets = lpips.embed(for_lpips(images))
    for step in range(steps):
        chosen = torch.arange(step * count, (step + 1) * count, device=ws.device) % len(images)
        made = synthesis(ws[chosen], noise_mode="const").float()
        distance = lpips.compare(lpips.embed(for_lpips(made)), [maps[chosen] for maps in targets])
        report(step, float(distance.detach().mean()))
        loss = (distance + mean_square(made - images[chosen])).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return tuned.requires_grad_(False)
