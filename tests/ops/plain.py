"""The operations written down as their definitions say: the oracles of gantrain.ops.

Same signatures. The zeros are inserted, every sample is computed, every weight is modulated.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.ops import fir


def upfirdn2d(
    x: Tensor,
    taps: fir.Taps,
    *,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: int | tuple[int, int, int, int] = 0,
    flip: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Zeros in between, zeros around, one filtering of everything, every down-th sample."""
    (ux, uy), (dx, dy) = ((f, f) if isinstance(f, int) else f for f in (up, down))
    rows = x.new_tensor(taps)
    rows = torch.outer(rows, rows) if rows.ndim == 1 else rows
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, ux - 1, 0, 0, 0, uy - 1)).reshape(n, c, h * uy, -1)
    x = F.pad(x, (padding,) * 4 if isinstance(padding, int) else padding)
    kernel = (rows if flip else rows.flip(0, 1)) * gain
    x = F.conv2d(x, kernel.repeat(c, 1, 1, 1), groups=c)
    return x[:, :, ::dy, ::dx]


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
    """The norms are those of one full set of weights for every sample [N, O, I, k, k]."""
    x = x * styles[:, :, None, None]
    if up == 2:
        assert taps is not None
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = upfirdn2d(x, taps, padding=1, gain=4.0)
    else:
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    if demodulate:
        modulated = weight[None] * styles[:, None, :, None, None]
        x = x * (modulated.square().sum(dim=(2, 3, 4)) + 1e-8).rsqrt()[:, :, None, None]
    return x if noise is None else x + noise


def bias_act(
    x: Tensor,
    bias: Tensor | None,
    act: str = "lrelu",
    *,
    scale: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    x = x * scale
    if bias is not None:
        x = x + bias.reshape(-1, *[1] * (x.ndim - 2))
    if act == "lrelu":
        x = torch.where(x > 0, x, 0.2 * x)
    x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)
