"""CIE Lab of sRGB pictures (D65, 2 degree observer), on the scale that networks see.

Lightness is L / 50 - 1 and colour is (a, b) / 110, both within [-1, 1] for every sRGB colour.
Computed by numpy in float64, so that data sets need no torch. Arrays are [..., C, H, W].
"""

from functools import cache

import numpy as np

_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_TO_RGB = np.linalg.inv(_TO_XYZ)
_WHITE = np.array([0.95047, 1.0, 1.08883])[:, None, None]
_L_SCALE, _AB_SCALE = 50.0, 110.0


def split_rgb(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lightness and the colour of pictures.

    Args:
        rgb: [..., 3, H, W], integers (levels) or floats in [0, 1].

    Returns:
        (L / 50 - 1 [..., 1, H, W], (a, b) / 110 [..., 2, H, W]), float32.
    """
    xyz = _mix(_TO_XYZ, _linear(rgb)) / _WHITE
    fx, fy, fz = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -3, 0)
    lightness = (116 * fy - 16)[..., None, :, :]
    colors = np.stack([500 * (fx - fy), 200 * (fy - fz)], axis=-3)
    return (
        (lightness / _L_SCALE - 1).astype(np.float32),
        (colors / _AB_SCALE).astype(np.float32),
    )


def join_rgb(lightness: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Return pictures of a lightness and a colour; what is outside of sRGB is clipped.

    Args:
        lightness: [..., 1, H, W], see `split_rgb`.
        colors: [..., 2, H, W].

    Returns:
        RGB [..., 3, H, W] in [0, 1], float64.
    """
    L = (lightness[..., 0, :, :].astype(np.float64) + 1) * _L_SCALE
    a, b = np.moveaxis(colors.astype(np.float64) * _AB_SCALE, -3, 0)
    fy = (L + 16) / 116
    f = np.stack([fy + a / 500, fy, np.maximum(fy - b / 200, 0)], axis=-3)
    xyz = np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) * _WHITE
    linear = _mix(_TO_RGB, xyz)
    coded = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.clip(np.where(linear > 0.0031308, coded, 12.92 * linear), 0, 1)


def _mix(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Multiply the channels of [..., 3, H, W] by a matrix [3, 3]."""
    return np.einsum("ij,...jhw->...ihw", matrix, x, optimize=True)


def _linear(rgb: np.ndarray) -> np.ndarray:
    """Return linear light in [0, 1] of levels, or of floats in [0, 1]."""
    if rgb.dtype.kind == "u":
        return _linear_levels(rgb.dtype)[rgb]
    rgb = rgb.astype(np.float64)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


@cache
def _linear_levels(dtype: np.dtype) -> np.ndarray:
    """Return linear light of every level of an integer type: faster than one power per pixel."""
    levels = np.iinfo(dtype).max
    return _linear(np.arange(levels + 1) / levels)
