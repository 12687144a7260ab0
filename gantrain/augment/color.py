"""Colour transforms as homogeneous matrices (Karras et al. 2020, appendix B)."""

from collections.abc import Callable, Collection
from functools import reduce
from math import pi

import torch
from torch import Tensor

from gantrain.augment.draw import Parameter, RandomParameters
from gantrain.errors import ConfigError

_EYE = torch.eye(4, dtype=torch.float64)
_COLORS = torch.diag(torch.tensor([1.0, 1, 1, 0], dtype=torch.float64))  # keeps r, g, b alone
_SHIFT = torch.zeros(4, 4, dtype=torch.float64)  # adds 1 to r, g and b
_SHIFT[:3, 3] = 1
_LUMA = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64) / 3**0.5  # v, the luma axis
_ONTO_LUMA = torch.zeros(4, 4, dtype=torch.float64)  # v v^T
_ONTO_LUMA[:3, :3] = torch.outer(_LUMA, _LUMA)
_OFF_LUMA = _COLORS - _ONTO_LUMA  # I - v v^T
_CROSS = torch.zeros(4, 4, dtype=torch.float64)  # x -> v cross x
_CROSS[:3, :3] = torch.linalg.cross(_EYE[:3, :3], _LUMA.expand(3, 3))
_CROSS_TWICE = _CROSS @ _CROSS


def color_matrix(transforms: Collection[str], params: RandomParameters) -> Tensor:
    """Draw the colour transforms and return their product.

    Args:
        transforms: any of brightness, contrast, lumaflip, hue, saturation; other names are ignored.
        params: source of the random parameters.

    Returns:
        [n, 4, 4] float64 on the CPU, acting on (r, g, b, 1); exactly the identity for an image
        without a selected transform.
    """
    chosen = [entry for name, entry in _TRANSFORMS.items() if name in transforms]
    if not chosen:
        return _EYE.repeat(params.n, 1, 1)
    drawn = params.draw([parameter for parameter, _ in chosen])
    matrices = [f(row.view(-1, 1, 1)) for (_, f), (row,) in zip(chosen, drawn, strict=True)]
    return reduce(lambda product, matrix: torch.bmm(matrix, product), matrices)


def color_affine(matrix: Tensor, channels: int) -> Tensor:
    """Return the map of an image's colours, as many as it has: gains, then an offset.

    Args:
        matrix: [N, 4, 4] from `color_matrix`.
        channels: 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).

    Returns:
        [N, c, c + 1], c = 1 or 3. Grey is treated as r = g = b and becomes the mean of the results.

    Raises:
        ConfigError: another number of channels.
    """
    if channels not in (1, 2, 3, 4):
        raise ConfigError(
            f"Colour augmentation needs images with 1 to 4 channels, and these have {channels}: "
            "use augmentations without colour, for example model.augment_spec=bg."
        )
    gain, offset = matrix[:, :3, :3], matrix[:, :3, 3:]
    if channels < 3:
        gain, offset = gain.sum((1, 2), keepdim=True) / 3, offset.mean(1, keepdim=True)
    return torch.cat([gain, offset], dim=2)


def recolor(images: Tensor, affine: Tensor) -> Tensor:
    """Apply one affine map to the colours of each image; alpha is unchanged.

    Args:
        images: [N, C, H, W].
        affine: [N, c, c + 1] from `color_affine`.

    Returns:
        [N, C, H, W], not clamped.
    """
    channels = affine.shape[1]
    gain, offset = affine[:, :, :channels], affine[:, :, channels:]
    colors = images[:, :channels]
    recolored = torch.baddbmm(offset, gain, colors.flatten(2)).view_as(colors)
    if images.shape[1] == channels:
        return recolored
    return torch.cat([recolored, images[:, channels:]], dim=1)


def _brightness(shift: Tensor) -> Tensor:
    return _EYE + shift * _SHIFT


def _contrast(exponent: Tensor) -> Tensor:
    return torch.exp2(exponent) * _COLORS + (_EYE - _COLORS)


def _lumaflip(value: Tensor) -> Tensor:
    """Negate the brightness and keep hue and saturation, by a Householder reflection."""
    return _EYE - 2 * value.floor() * _ONTO_LUMA  # 0 or 1


def _hue(theta: Tensor) -> Tensor:
    """Rotate about the luma axis, right-handed (Rodrigues)."""
    return _EYE + theta.sin() * _CROSS + (1 - theta.cos()) * _CROSS_TWICE


def _saturation(exponent: Tensor) -> Tensor:
    """Multiply the distance from the luma axis by a factor."""
    return _EYE + (torch.exp2(exponent) - 1) * _OFF_LUMA


# In the order in which they are drawn and applied. Each makes [n, 4, 4] of its parameter [n, 1, 1].
_TRANSFORMS: dict[str, tuple[Parameter, Callable[[Tensor], Tensor]]] = {
    "brightness": (Parameter("normal", 0.2), _brightness),
    "contrast": (Parameter("normal", 0.5), _contrast),
    "lumaflip": (Parameter("uniform", 2), _lumaflip),
    "hue": (Parameter("signed", pi), _hue),
    "saturation": (Parameter("normal", 1.0), _saturation),
}
