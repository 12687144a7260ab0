"""Pixel blitting and geometric transforms as matrices (Karras et al. 2020, appendix B).

Coordinates are pixels from the centre of the image, x to the right and y down. A matrix maps a
position in the augmented image to that of its colour in the original image, so it is the product
of the inverse transforms, in the order of the transforms.
"""

from collections.abc import Callable, Collection
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.augment.draw import RandomParameters

Size = tuple[int, int]  # height, width


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
    # Multiplied from the right: the inverse of a product has the factors in reverse order.
    matrix = _scaling(torch.ones(params.n, 2, dtype=torch.float64))
    for name, inverse in _INVERSES:
        if name in transforms:
            matrix = matrix @ inverse(params, size)
    return matrix


def _xflip(params: RandomParameters, _: Size) -> Tensor:
    flip = params.select(params.integer(2), 0)
    return _scaling(torch.stack([1 - 2 * flip, torch.ones_like(flip)], dim=1))


def _rotate90(params: RandomParameters, _: Size) -> Tensor:
    return _rotation(params.select(params.integer(4), 0) * (pi / 2))


def _xint(params: RandomParameters, size: Size) -> Tensor:
    shift = params.select(params.signed(0.125, 2), 0)  # share of width and height
    # Rounded: by whole pixels, an image moves without being blurred.
    return _translation(-torch.round(shift * _width_height(size)))


def _scale(params: RandomParameters, _: Size) -> Tensor:
    factor = params.select(torch.exp2(params.normal(0.2)), 1)  # log-normal
    return _scaling((1 / factor)[:, None].expand(-1, 2))


def _rotate(params: RandomParameters, _: Size) -> Tensor:
    return _rotation(params.select(params.signed(pi), 0, _rotation_probability(params.p)))


def _rotate_again(params: RandomParameters, size: Size) -> Tensor:
    if params.percentile is not None:  # tests expect a single rotation by one angle
        return _rotation(torch.zeros(params.n, dtype=torch.float64))
    return _rotate(params, size)


def _aniso(params: RandomParameters, _: Size) -> Tensor:
    factor = params.select(torch.exp2(params.normal(0.2)), 1)
    return _scaling(torch.stack([1 / factor, factor], dim=1))


def _xfrac(params: RandomParameters, size: Size) -> Tensor:
    return _translation(-params.select(params.normal(0.125, 2), 0) * _width_height(size))


# A list, because a rotation comes twice; the order is that of the transforms.
_INVERSES: list[tuple[str, Callable[[RandomParameters, Size], Tensor]]] = [
    ("xflip", _xflip),
    ("rotate90", _rotate90),
    ("xint", _xint),
    ("scale", _scale),
    ("rotate", _rotate),
    ("aniso", _aniso),
    ("rotate", _rotate_again),  # before and after aniso: stretched along any axis
    ("xfrac", _xfrac),
]


def _rotation_probability(p: float) -> float:
    """Return the probability of each of two rotations, so that at least one has probability p."""
    # 1 - (1 - q)^2 = p, solved for q.
    return 1 - sqrt(1 - p)


def _width_height(size: Size) -> Tensor:
    return torch.tensor([size[1], size[0]], dtype=torch.float64)


def _scaling(factors: Tensor) -> Tensor:
    """Factors (x, y) [n, 2] -> matrices [n, 3, 3]."""
    return torch.diag_embed(F.pad(factors, (0, 1), value=1.0))


def _rotation(theta: Tensor) -> Tensor:
    """Radians [n] -> matrices [n, 3, 3]."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(theta), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = theta.cos()
    matrix[:, 1, 0] = theta.sin()
    matrix[:, 0, 1] = -theta.sin()
    return matrix


def _translation(shift: Tensor) -> Tensor:
    """Pixels (x, y) [n, 2] -> matrices [n, 3, 3]."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(shift), 1, 1)
    matrix[:, :2, 2] = shift
    return matrix
