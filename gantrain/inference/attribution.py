"""Attribution: how much of an image each layer's w decides."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gantrain.inference.model import Model
from gantrain.tracking.grids import thumbnails


@dataclass(frozen=True)
class Attribution:
    """What changes when one layer's w is exchanged for that of another image.

    Attributes:
        images: of the first ws, [S, C, h, w] in [-1, 1], made small.
        exchanged: the same with each layer exchanged, [num_ws, S, C, h, w].
        change: the root of the mean squared difference of all N images at full size, in units of
            [-1, 1], [num_ws].
    """

    images: Tensor
    exchanged: Tensor
    change: Tensor


@torch.no_grad()
def attribute(
    model: Model,
    ws: Tensor,
    others: Tensor,
    shown: int,
    batch: int,
    report: Callable[[int], None] = lambda count: None,
) -> Attribution:
    """Exchange the w of one layer at a time.

    Args:
        model: a generator with w.
        ws: [N, num_ws, w_dim].
        others: of other images, [N, num_ws, w_dim].
        shown: S, how many images are kept.
        batch: images at once.
        report: called with the number of images that were made.
    """
    num_ws = ws.shape[1]
    squares = torch.zeros(num_ws, dtype=torch.float64)
    kept: list[list[Tensor]] = [[] for _ in range(num_ws)]
    images: list[Tensor] = []
    for start in range(0, len(ws), batch):
        part, other = ws[start : start + batch], others[start : start + batch]
        seeds, keep = range(start, start + len(part)), max(0, shown - start)
        made = model.synthesize(part, "const", seeds)
        images.append(thumbnails(made[:keep]))
        report(len(part))
        for layer in range(num_ws):
            mixed = part.clone()
            mixed[:, layer] = other[:, layer]
            changed = model.synthesize(mixed, "const", seeds)
            squares[layer] += (changed - made).square().flatten(1).mean(1).sum().item()
            kept[layer].append(thumbnails(changed[:keep]))
            report(len(part))
    exchanged = torch.stack([torch.cat(parts) for parts in kept])
    return Attribution(torch.cat(images), exchanged, (squares / len(ws)).sqrt())
