"""FIR resampling as sums of slices: plain operations, which a compiler turns into one kernel.

Inserted zeros are not computed with (polyphase form): output j meets the taps
k = (before - j down) mod up + t up, t = 0, 1, ..., and with them the samples
ceil((j down - before) / up) + t. Taps are Python numbers, so nothing is copied to a device.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.ops.fir_plan import Axis, Plan


def resample(x: Tensor, plan: Plan) -> Tensor:
    """Resample [N, C, H, W]; sums are in float32 at least, the result in the dtype of x."""
    size = plan.out_size(x.shape[2], x.shape[3])
    (y_start, top, bottom), (x_start, left, right) = (
        _margins(axis, n, out)
        for axis, n, out in zip((plan.y, plan.x), x.shape[2:], size, strict=True)
    )
    wide = torch.promote_types(x.dtype, torch.float32)
    padded = F.pad(_cast(x, wide), (left, right, top, bottom))
    padded = _repeat(padded, plan)
    total = None
    for ty in range(_taps_met(plan.y)):
        for tx in range(_taps_met(plan.x)):
            part = _slice(padded, 2, y_start + ty * plan.y.up, size[0], plan.y.down)
            part = _slice(part, 3, x_start + tx * plan.x.up, size[1], plan.x.down)
            part = part * _weights(plan, ty, tx, size, part)
            total = part if total is None else total + part
    assert total is not None
    return _cast(total, x.dtype)


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    # A tensor that two names stand for gets a wrong gradient from torch.compile in torch 2.11.
    return x if x.dtype == dtype else x.to(dtype)


def _taps_met(axis: Axis) -> int:
    return -(-axis.taps // axis.up)


def _margins(axis: Axis, size: int, out: int) -> tuple[int, int, int]:
    """Return the first sample to read, of the padded and repeated line, and the padding."""
    # With every sample repeated `up` times, output j and t find theirs at
    # j down + t up + up - 1 - before, for floor((a + up - 1) / up) = ceil(a / up).
    first = axis.up - 1 - axis.before
    last = first + (out - 1) * axis.down + (_taps_met(axis) - 1) * axis.up
    before = max(0, -(first // axis.up))
    return first + before * axis.up, before, max(0, last // axis.up + 1 - size)


def _repeat(x: Tensor, plan: Plan) -> Tensor:
    """Repeat every sample `up` times; compiled, this is only an index divided by `up`."""
    n, c, h, w = x.shape
    up_y, up_x = plan.y.up, plan.x.up
    if up_y == up_x == 1:
        return x
    return x[:, :, :, None, :, None].expand(n, c, h, up_y, w, up_x).reshape(n, c, h * up_y, -1)


def _slice(x: Tensor, dim: int, start: int, count: int, step: int) -> Tensor:
    index = [slice(None)] * dim
    return x[(*index, slice(start, start + (count - 1) * step + 1, step))]


def _weights(plan: Plan, ty: int, tx: int, size: tuple[int, int], like: Tensor) -> Tensor | float:
    """Return the taps by which the samples of (ty, tx) are multiplied: a number, or [H', W']."""
    taps = [[_tap(plan, y, x, ty, tx) for x in range(plan.x.period)] for y in range(plan.y.period)]
    if len(taps) == len(taps[0]) == 1:
        return taps[0][0]
    weights = like.new_zeros(())
    y = torch.arange(plan.y.period, device=like.device)[:, None]
    x = torch.arange(plan.x.period, device=like.device)
    for i, row in enumerate(taps):
        for j, tap in enumerate(row):
            weights = torch.where((y == i) & (x == j), tap, weights)
    repeats = [-(-n // axis.period) for n, axis in zip(size, (plan.y, plan.x), strict=True)]
    return weights.repeat(*repeats)[: size[0], : size[1]]


def _tap(plan: Plan, y: int, x: int, ty: int, tx: int) -> float:
    """Return the tap of output (y, x) for its samples (ty, tx), 0 beyond the filter's end."""
    ky, kx = (
        (axis.before - j * axis.down) % axis.up + t * axis.up
        for axis, j, t in ((plan.y, y, ty), (plan.x, x, tx))
    )
    return plan.kernel[ky][kx] if ky < plan.y.taps and kx < plan.x.taps else 0.0
