"""Images of a moved canvas beside moved images: what EQ-T and EQ-R compare."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import degrees, pi

import numpy as np
import torch
from torch import Tensor

from gantrain.inference.model import Model
from gantrain.inference.pose import canvas_transform
from gantrain.metrics import equivariance
from gantrain.metrics.equivariance import MAX_TRANSLATION
from gantrain.ops.precision import full_float32


@torch.no_grad()
def moved_pairs(
    model: Model, ws: Tensor, metric: str, seeds: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (reference, image, mask) of one image after another, see `equivariance.psnr`.

    In full float32: with coarser rounding the images would differ by the rounding alone.

    Args:
        model: a generator whose canvas can be moved.
        ws: [N, num_ws, w_dim].
        metric: "eqt" moves by random whole pixels, up to an eighth of the image; "eqr" turns by a
            random angle.
        seeds: N seeds of the motions.
    """
    h, w = model.style.resolution
    motions = [np.random.RandomState([1, seed]).uniform(-1, 1, 2) for seed in seeds]
    if metric == "eqt":
        pixels = [np.rint(u * MAX_TRANSLATION * (w, h)).astype(int).tolist() for u in motions]
        transforms = [canvas_transform([x / w, y / h], 0.0) for x, y in pixels]
    else:
        pixels, angles = [], [pi * u[0] for u in motions]
        transforms = [canvas_transform([0.0, 0.0], degrees(angle)) for angle in angles]
    exact = replace(model, precision=model.precision.without_autocast())
    with full_float32(model.precision.device):
        still = exact.synthesis(ws).split(1)
        moved = exact.synthesis(ws, transform=torch.stack(transforms)).split(1)
        for i, (before, after) in enumerate(zip(still, moved, strict=True)):
            if metric == "eqt":
                reference, mask = equivariance.shift(before, *pixels[i])
                yield reference, after, mask
            else:
                reference, mask = equivariance.rotate(before, angles[i])
                limited, limited_mask = equivariance.limit_band(after, angles[i])
                yield reference, limited, mask * limited_mask
