"""Colour transforms as homogeneous matrices (Karras et al. 2020, appendix B)."""

from collections.abc import Callable, Collection
from math import pi

import torch
from torch import Tensor

from gantrain.augment.draw import RandomParameters, to_device_like
from gantrain.errors import ConfigError

_EYE = torch.eye(4, dtype=torch.float64)
_LUMA = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64) / 3**0.5  # v, the luma axis
_ONTO_LUMA = torch.zeros(4, 4, dtype=torch.float64)  # v v^T
_ONTO_LUMA[:3, :3] = torch.outer(_LUMA, _LUMA)
_OFF_LUMA = _EYE - _ONTO_LUMA  # I - v v^T
_OFF_LUMA[3, 3] = 0
_CROSS = torch.zeros(4, 4, dtype=torch.float64)  # x -> v cross x
_CROSS[:3, :3] = torch.linalg.cross(_EYE[:3, :3], _LUMA.expand(3, 3))


def color_matrix(transforms: Collection[str], params: RandomParameters) -> Tensor:
    """Draw the colour transforms and return their product.

    Args:
        transforms: any of brightness, contrast, lumaflip, hue, saturation; other names are ignored.
        params: source of the random parameters.

    Returns:
        [n, 4, 4] float64 on the CPU, acting on (r, g, b, 1); exactly the identity for an image
        without a selected transform.
    """
    matrix = _EYE.repeat(params.n, 1, 1)
    for name, transform in _TRANSFORMS.items():
        if name in transforms:
            matrix = transform(params) @ matrix
    return matrix


def recolor(images: Tensor, matrix: Tensor) -> Tensor:
    """Multiply colours by a matrix; grey images are treated as r = g = b, alpha is unchanged.

    Args:
        images: [N, C, H, W], C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
        matrix: [N, 4, 4] from `color_matrix`.

    Returns:
        [N, C, H, W], not clamped.

    Raises:
        ConfigError: another number of channels.
    """
    channels = images.shape[1]
    if channels not in (1, 2, 3, 4):
        raise ConfigError(
            f"Colour augmentation needs images with 1 to 4 channels, and these have {channels}: "
            "use augmentations without colour, for example model.augment_spec=bg."
        )
    if torch.equal(matrix, _EYE.expand_as(matrix)):  # on the CPU, so it waits for no device
        return images
    # One affine map per image, whatever transforms it is the product of.
    gain, offset = matrix[:, :3, :3], matrix[:, :3, 3:]
    color_channels = 1 if channels < 3 else 3
    if color_channels == 1:  # the mean of the results for r, g and b
        gain, offset = gain.sum((1, 2), keepdim=True) / 3, offset.mean(1, keepdim=True)
    colors = images[:, :color_channels]
    gain, offset = to_device_like(gain, images), to_device_like(offset, images)
    recolored = torch.baddbmm(offset, gain, colors.flatten(2)).view_as(colors)
    if channels == color_channels:
        return recolored
    return torch.cat([recolored, images[:, color_channels:]], dim=1)


def _brightness(params: RandomParameters) -> Tensor:
    matrix = _EYE.repeat(params.n, 1, 1)
    matrix[:, :3, 3] = params.select(params.normal(0.2), 0)[:, None]
    return matrix


def _contrast(params: RandomParameters) -> Tensor:
    matrix = _EYE.repeat(params.n, 1, 1)
    matrix[:, :3, :3] *= params.select(torch.exp2(params.normal(0.5)), 1)[:, None, None]
    return matrix


def _lumaflip(params: RandomParameters) -> Tensor:
    """Negate the brightness and keep hue and saturation, by a Householder reflection."""
    flip = params.select(params.integer(2), 0)[:, None, None]
    return _EYE - 2 * flip * _ONTO_LUMA


def _hue(params: RandomParameters) -> Tensor:
    """Rotate about the luma axis, right-handed (Rodrigues)."""
    theta = params.select(params.signed(pi), 0)[:, None, None]
    return _EYE + theta.sin() * _CROSS + (1 - theta.cos()) * (_CROSS @ _CROSS)


def _saturation(params: RandomParameters) -> Tensor:
    """Multiply the distance from the luma axis by a factor."""
    factor = params.select(torch.exp2(params.normal(1.0)), 1)[:, None, None]
    return _EYE + (factor - 1) * _OFF_LUMA


# In the order in which they are drawn and applied.
_TRANSFORMS: dict[str, Callable[[RandomParameters], Tensor]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "lumaflip": _lumaflip,
    "hue": _hue,
    "saturation": _saturation,
}
