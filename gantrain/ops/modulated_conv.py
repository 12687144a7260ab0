"""Convolution whose input channels are scaled per sample (Karras et al. 2020, section 2.2).

The paper modulates the weights, w'[n, o, i, k] = s[n, i] w[o, i, k], and demodulates them: it
divides by the norm of w'[n, o]. Scaling the input by s before one ordinary convolution and the
output by 1 / norm after it computes the same without a set of weights for every sample.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.ops import fir

_EPS = 1e-8


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    taps: fir.Taps | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Convolve x with weights that are modulated by styles, with "same" padding; add noise.

    Args:
        x: [N, I, H, W], any range. Its dtype is that of the result and of the convolution.
        weight: [O, I, k, k], k odd; k = 3 for upsampling.
        styles: [N, I]. In half precision weights and styles are normalized first, which the
            demodulation cancels.
        demodulate: whether to divide by the norm of the modulated weights.
        up: 1, or 2: a transposed convolution of stride 2, smoothed by a filter.
        taps: the filter for upsampling, [4] or [4, 4] with sum 1; not needed for up = 1.
        noise: [N or 1, 1, H', W'] or None.

    Returns:
        [N, O, H', W'] with H' = up * H, W' = up * W.
    """
    if demodulate and x.dtype in (torch.float16, torch.bfloat16):
        weight, styles = _normalize(weight, styles)
    if weight.shape[-1] == 1 and not demodulate and noise is None:  # ToRGB
        return _pointwise(x, weight[:, :, 0, 0], styles)
    y = _convolve(x * _channels(styles, x), weight.to(x.dtype), up, taps)
    if not demodulate:
        return y if noise is None else y + noise.to(y.dtype)
    d = _channels(demodulation(weight, styles), y)  # computed before it is rounded to y's dtype
    return y * d if noise is None else torch.addcmul(noise.to(y.dtype), y, d)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Return 1 / sqrt(sum over i and k of (s[n, i] w[o, i, k])^2 + 1e-8).

    Args:
        weight: [O, I, k, k].
        styles: [N, I].

    Returns:
        [N, O].
    """
    # A small matrix product avoids the tensor [N, O, I, k, k].
    energy = weight.square().sum(dim=(2, 3))
    return (styles.square() @ energy.T + _EPS).rsqrt()


def _channels(scale: Tensor, like: Tensor) -> Tensor:
    """[N, C] -> [N, C, 1, 1] in the dtype of `like`."""
    return scale.to(like.dtype)[:, :, None, None]


def _normalize(weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Scale weights and styles so that a sum over the inputs cannot overflow half precision.

    The divisors cancel in the demodulation, so they need no gradient.
    """
    fan_in = weight[0].numel()
    largest = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
    return weight / (largest * fan_in**0.5), styles / styles.detach().abs().amax(1, keepdim=True)


def _convolve(x: Tensor, weight: Tensor, up: int, taps: fir.Taps | None) -> Tensor:
    if up == 1:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    assert up == 2 and taps is not None
    # The stored weight is not flipped: sample (i, j) is spread over the outputs (2i.., 2j..).
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    # The gain of 4 makes up for the zeros that the stride inserts.
    return fir.upfirdn2d(y, taps, padding=1, gain=4.0)


def _pointwise(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
    """1x1 convolution of x [N, I, H, W] with weight [O, I].

    With few output channels, weights for every sample are smaller than the product x * s.
    """
    per_sample = (weight * styles[:, None, :]).to(x.dtype)
    return torch.bmm(per_sample, x.flatten(2)).unflatten(2, x.shape[2:])
