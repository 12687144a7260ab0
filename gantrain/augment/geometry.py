"""Pixel blitting and geometric transforms as matrices (Karras et al. 2020, appendix B).

Coordinates are pixels from the centre of the image, x to the right and y down. A matrix maps a
place in the augmented image to the place in the original whose colour appears there, so it is the
product of the inverses in the order of the transforms.
"""

from collections.abc import Callable, Collection
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.augment.draw import RandomParameters

Size = tuple[int, int]  # height, width


def inverse_matrix(transforms: Collection[str], draw: RandomParameters, size: Size) -> Tensor:
    """The inverse of all the named transforms in a row.

    Args:
        transforms: of xflip, rotate90, xint, scale, rotate, aniso, xfrac; other names are not ours.
        size: (height, width) in pixels.

    Returns:
        [n, 3, 3] homogeneous float64 matrices on the CPU; exactly the identity for an image of
        which no transform was selected.
    """
    matrix = _scaling(torch.ones(draw.n, 2, dtype=torch.float64))
    for name, inverse in _INVERSES:
        if name in transforms:
            matrix = matrix @ inverse(draw, size)
    return matrix


def _xflip(draw: RandomParameters, _: Size) -> Tensor:
    flip = draw.select(draw.integer(2), 0)
    return _scaling(torch.stack([1 - 2 * flip, torch.ones_like(flip)], dim=1))


def _rotate90(draw: RandomParameters, _: Size) -> Tensor:
    return _rotation(draw.select(draw.integer(4), 0) * (pi / 2))


def _xint(draw: RandomParameters, size: Size) -> Tensor:
    shift = draw.select(draw.signed(0.125, 2), 0)
    return _translation(-torch.round(shift * _width_height(size)))


def _scale(draw: RandomParameters, _: Size) -> Tensor:
    factor = draw.select(torch.exp2(draw.normal(0.2)), 1)
    return _scaling((1 / factor)[:, None].expand(-1, 2))


def _rotate(draw: RandomParameters, _: Size) -> Tensor:
    return _rotation(draw.select(draw.signed(pi), 0, _rotation_probability(draw.p)))


def _rotate_again(draw: RandomParameters, size: Size) -> Tensor:
    if draw.percentile is not None:  # one angle, so that the mode shows a single rotation
        return _rotation(torch.zeros(draw.n, dtype=torch.float64))
    return _rotate(draw, size)


def _aniso(draw: RandomParameters, _: Size) -> Tensor:
    factor = draw.select(torch.exp2(draw.normal(0.2)), 1)
    return _scaling(torch.stack([1 / factor, factor], dim=1))


def _xfrac(draw: RandomParameters, size: Size) -> Tensor:
    return _translation(-draw.select(draw.normal(0.125, 2), 0) * _width_height(size))


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
    """Each of two independent rotations, so that at least one happens with probability p."""
    return 1 - sqrt(1 - p)


def _width_height(size: Size) -> Tensor:
    return torch.tensor([size[1], size[0]], dtype=torch.float64)


def _scaling(factors: Tensor) -> Tensor:
    """[n, 2] factors of x and y -> [n, 3, 3]."""
    return torch.diag_embed(F.pad(factors, (0, 1), value=1.0))


def _rotation(theta: Tensor) -> Tensor:
    """[n] radians -> [n, 3, 3]."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(theta), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = theta.cos()
    matrix[:, 1, 0] = theta.sin()
    matrix[:, 0, 1] = -theta.sin()
    return matrix


def _translation(shift: Tensor) -> Tensor:
    """[n, 2] pixels in x and y -> [n, 3, 3]."""
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(shift), 1, 1)
    matrix[:, :2, 2] = shift
    return matrix
