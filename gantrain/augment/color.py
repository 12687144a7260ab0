"""Colour transforms as homogeneous matrices (Karras et al. 2020, appendix B)."""

from collections.abc import Callable, Collection
from math import pi

import torch
from torch import Tensor

from gantrain.augment.draw import RandomParameters, to_device_like
from gantrain.errors import ConfigError

_EYE = torch.eye(4, dtype=torch.float64)
_LUMA = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64) / 3**0.5  # v, the grey axis
_ONTO_LUMA = torch.zeros(4, 4, dtype=torch.float64)  # v v^T
_ONTO_LUMA[:3, :3] = torch.outer(_LUMA, _LUMA)
_OFF_LUMA = _EYE - _ONTO_LUMA  # I - v v^T
_OFF_LUMA[3, 3] = 0
_CROSS = torch.zeros(4, 4, dtype=torch.float64)  # x -> v cross x
_CROSS[:3, :3] = torch.linalg.cross(_EYE[:3, :3], _LUMA.expand(3, 3))


def color_matrix(transforms: Collection[str], draw: RandomParameters) -> Tensor:
    """All the named transforms in a row.

    Args:
        transforms: of brightness, contrast, lumaflip, hue, saturation; other names are not ours.

    Returns:
        [n, 4, 4] float64 on the CPU, acting on (r, g, b, 1); exactly the identity for an image of
        which no transform was selected.
    """
    matrix = _EYE.repeat(draw.n, 1, 1)
    for name, transform in _TRANSFORMS.items():
        if name in transforms:
            matrix = transform(draw) @ matrix
    return matrix


def recolor(images: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the colours by `matrix`; grey images are taken for r = g = b, alpha is left alone.

    Args:
        images: [N, C, H, W], C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
        matrix: [N, 4, 4] from `color_matrix`.

    Raises:
        ConfigError: another number of channels.
    """
    channels = images.shape[1]
    if channels not in (1, 2, 3, 4):
        raise ConfigError(
            f"Colour augmentation is for images of 1 to 4 channels, these have {channels}: "
            "take augmentations without colour, for example bg."
        )
    if torch.equal(matrix, _EYE.expand_as(matrix)):
        return images
    gain, offset = matrix[:, :3, :3], matrix[:, :3, 3:]
    colours = 1 if channels < 3 else 3
    if colours == 1:  # the mean of what r, g and b would become
        gain, offset = gain.sum((1, 2), keepdim=True) / 3, offset.mean(1, keepdim=True)
    pixels = images[:, :colours].flatten(2)
    colored = torch.baddbmm(to_device_like(offset, images), to_device_like(gain, images), pixels)
    colored = colored.view_as(images[:, :colours])
    return torch.cat([colored, images[:, colours:]], dim=1) if channels > colours else colored


def _brightness(draw: RandomParameters) -> Tensor:
    matrix = _EYE.repeat(draw.n, 1, 1)
    matrix[:, :3, 3] = draw.select(draw.normal(0.2), 0)[:, None]
    return matrix


def _contrast(draw: RandomParameters) -> Tensor:
    matrix = _EYE.repeat(draw.n, 1, 1)
    matrix[:, :3, :3] *= draw.select(torch.exp2(draw.normal(0.5)), 1)[:, None, None]
    return matrix


def _lumaflip(draw: RandomParameters) -> Tensor:
    """Householder reflection: brightness is negated, hue and saturation stay."""
    flip = draw.select(draw.integer(2), 0)[:, None, None]
    return _EYE - 2 * flip * _ONTO_LUMA


def _hue(draw: RandomParameters) -> Tensor:
    """Right-handed rotation about the grey axis (Rodrigues)."""
    theta = draw.select(draw.signed(pi), 0)[:, None, None]
    return _EYE + theta.sin() * _CROSS + (1 - theta.cos()) * (_CROSS @ _CROSS)


def _saturation(draw: RandomParameters) -> Tensor:
    """The distance from the grey axis times a factor."""
    factor = draw.select(torch.exp2(draw.normal(1.0)), 1)[:, None, None]
    return _EYE + (factor - 1) * _OFF_LUMA


_TRANSFORMS: dict[str, Callable[[RandomParameters], Tensor]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "lumaflip": _lumaflip,
    "hue": _hue,
    "saturation": _saturation,
}
