"""Random parameters of the augmentations, drawn on the host."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor


class Parameter(NamedTuple):
    """How a random parameter of a transform is distributed.

    Attributes:
        law: "normal" N(0, scale^2), "half_normal" its absolute value, "uniform" [0, scale),
            "signed" [-scale, scale).
        scale: standard deviation or limit.
        width: independent numbers per image.
        neutral: value in images that are not selected: that of the identity.
        chance: probability of a selection, as a function of that of the transform.
    """

    law: Literal["normal", "half_normal", "uniform", "signed"]
    scale: float
    width: int = 1
    neutral: float = 0.0
    chance: Callable[[float], float] = float


class RandomParameters:
    """A source of random parameters for the `n` images of a batch.

    All values come from torch's CPU generator, as float64 on the CPU: which images are warped and
    how wide a margin they need is known without waiting for an accelerator, and a seed gives the
    same augmentations on every device.

    Args:
        n: images in the batch.
        p: probability in [0, 1] that an image is selected for a transform.
        percentile: for tests: a number in (0, 1) that replaces every random value. Normals become
            std * erfinv(2 * percentile - 1), uniforms their percentile. The selection stays random;
            with p = 1 the result is deterministic. None: values are random.
    """

    def __init__(self, n: int, p: float, percentile: float | None = None) -> None:
        self.n, self.p, self.percentile = n, p, percentile

    def draw(self, parameters: Sequence[Parameter]) -> list[tuple[Tensor, ...]]:
        """Draw parameters and replace those of the images that are not selected.

        Args:
            parameters: at least one; drawn in this order, the values before the selection. If p is
                0 nothing is drawn.

        Returns:
            The `width` numbers [n] of each parameter.
        """
        if self.p == 0:
            neutral = [torch.full((self.n,), part.neutral).double() for part in parameters]
            return [(row,) * part.width for row, part in zip(neutral, parameters, strict=True)]
        values, selections, table = [], [], []
        for parameter in parameters:
            # Drawn for all images: which of them are selected does not shift later draws.
            values.append(self._standard(parameter))
            selections += [torch.rand(self.n, dtype=torch.float64)] * parameter.width
            row = (parameter.scale, parameter.neutral, parameter.chance(self.p))
            table += [row] * parameter.width
        # All at once from here on: the host runs few operations.
        scale, neutral, p = torch.tensor(table, dtype=torch.float64)[..., None].unbind(1)
        selected = torch.stack(selections) < p
        drawn = torch.cat(values, dim=1).T.contiguous()
        rows = iter(torch.where(selected, drawn * scale, neutral).unbind())
        return [tuple(next(rows) for _ in range(parameter.width)) for parameter in parameters]

    def _standard(self, parameter: Parameter) -> Tensor:
        """Draw [n, width] of scale 1."""
        law, size = parameter.law, (self.n, parameter.width)
        is_normal = law in ("normal", "half_normal")
        if self.percentile is None:
            values = (torch.randn if is_normal else torch.rand)(size, dtype=torch.float64)
        else:
            values = torch.full(size, self.percentile, dtype=torch.float64)
            if is_normal:
                values = torch.erfinv(2 * values - 1 if law == "normal" else values)
        if law == "half_normal":
            values = values.abs()
        if law == "signed":
            values = 2 * values - 1
        return values


def to_device_like(values: Tensor, images: Tensor) -> Tensor:
    """Convert `values` to the dtype and device of `images`, without waiting for the device.

    Args:
        values: parameters, float64 on the CPU.
        images: the batch they are applied to.
    """
    values = values.to(images.dtype)
    # CUDA copies from pinned memory only while the host goes on.
    values = values.pin_memory() if images.is_cuda else values
    return values.to(images.device, non_blocking=True)
