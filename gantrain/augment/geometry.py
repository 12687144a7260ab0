"""Pixel blitting and geometric transforms as matrices (Karras et al. 2020, appendix B).

Coordinates are pixels from the centre of the image, x to the right and y down. A matrix maps a
position in the augmented image to that of its colour in the original image, so it is the product
of the inverse transforms, in the order of the transforms.
"""

from collections.abc import Callable, Collection
from functools import reduce
from math import pi, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from gantrain.augment.draw import Parameter, RandomParameters

Size = tuple[int, int]  # height, width
Entry = Tensor | int  # [n], or the same for all images: 0 or 1
Factor = tuple[Entry, ...]  # the nine entries of a 3x3 matrix, row by row


def inverse_matrix(transforms: Collection[str], params: RandomParameters, size: Size) -> Tensor:
    """Draw the geometric transforms and return the inverse of their product.

    Args:
        transforms: any of xflip, rotate90, xint, scale, rotate, aniso, xfrac; other names are
            ignored.
        params: source of the random parameters.
        size: (height, width) in pixels.

    Returns:
        [n, 3, 3] homogeneous float64 matrices on the CPU; exactly the identity for an image without
        a selected transform.
    """
    chosen = [step for step in _STEPS if step.name in transforms]
    if params.percentile is not None:  # tests expect a single rotation by one angle
        chosen = [step for step in chosen if step is not _ROTATE_AGAIN]
    if not chosen:
        return torch.eye(3, dtype=torch.float64).repeat(params.n, 1, 1)
    drawn = params.draw([step.parameter for step in chosen])
    factors = [step.inverse(*rows, size) for step, rows in zip(chosen, drawn, strict=True)]
    # Multiplied from the right: the inverse of a product has the factors in reverse order.
    return reduce(torch.bmm, _matrices(factors, params.n))


def _xflip(value: Tensor, _: Size) -> Factor:
    return _scaling(1 - 2 * value.floor(), 1)  # 0 or 1


def _rotate90(value: Tensor, _: Size) -> Factor:
    return _rotation(value.floor() * (pi / 2))  # 0, 1, 2 or 3 quarters


def _xint(x: Tensor, y: Tensor, size: Size) -> Factor:
    height, width = size
    # Rounded: by whole pixels, an image moves without being blurred.
    return _translation(-torch.round(x * width), -torch.round(y * height))


def _scale(value: Tensor, _: Size) -> Factor:
    inverse = 1 / torch.exp2(value)  # log-normal
    return _scaling(inverse, inverse)


def _rotate(value: Tensor, _: Size) -> Factor:
    return _rotation(value)


def _aniso(value: Tensor, _: Size) -> Factor:
    factor = torch.exp2(value)
    return _scaling(1 / factor, factor)


def _xfrac(x: Tensor, y: Tensor, size: Size) -> Factor:
    height, width = size
    return _translation(-x * width, -y * height)


def _rotation_probability(p: float) -> float:
    """Return the probability of each of two rotations, so that at least one has probability p."""
    # 1 - (1 - q)^2 = p, solved for q.
    return 1 - sqrt(1 - p)


class _Step(NamedTuple):
    name: str
    parameter: Parameter
    inverse: Callable[..., Factor]  # of the parameter's rows [n] and the size


_ANGLE = Parameter("signed", pi, chance=_rotation_probability)
_ROTATE_AGAIN = _Step("rotate", _ANGLE, _rotate)
# A list, because a rotation comes twice; the order is that of the transforms. Shifts are shares of
# width and height.
_STEPS = [
    _Step("xflip", Parameter("uniform", 2), _xflip),
    _Step("rotate90", Parameter("uniform", 4), _rotate90),
    _Step("xint", Parameter("signed", 0.125, width=2), _xint),
    _Step("scale", Parameter("normal", 0.2), _scale),
    _Step("rotate", _ANGLE, _rotate),
    _Step("aniso", Parameter("normal", 0.2), _aniso),
    _ROTATE_AGAIN,  # before and after aniso: stretched along any axis
    _Step("xfrac", Parameter("normal", 0.125, width=2), _xfrac),
]


def _scaling(x: Entry, y: Entry) -> Factor:
    return (x, 0, 0, 0, y, 0, 0, 0, 1)


def _rotation(theta: Tensor) -> Factor:
    cos, sin = theta.cos(), theta.sin()
    return (cos, -sin, 0, sin, cos, 0, 0, 0, 1)


def _translation(x: Entry, y: Entry) -> Factor:
    return (1, 0, x, 0, 1, y, 0, 0, 1)


def _matrices(factors: list[Factor], n: int) -> tuple[Tensor, ...]:
    """Return each factor as matrices [n, 3, 3], made by one operation for all."""
    constants = torch.zeros(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    entries = [
        entry if isinstance(entry, Tensor) else constants[entry]
        for factor in factors
        for entry in factor
    ]
    return torch.stack(entries, dim=1).view(n, len(factors), 3, 3).unbind(1)
