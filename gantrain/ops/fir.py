"""Resampling with a constant FIR filter: insert zeros, pad, filter, keep every n-th sample.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN". Inserted zeros are
never written and dropped samples are never computed: strided convolutions do both. A filter is
given by its taps, the coefficients.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# From this length on, two passes over a 1-D filter cost less than one over its outer product.
_SEPARABLE_FROM = 8


def fir_taps(taps: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
    """Return the taps of a filter as a float32 tensor [k] or [kh, kw], normalized to sum 1."""
    tensor = torch.tensor(taps, dtype=torch.float32)
    return tensor / tensor.sum()


def upfirdn2d(
    x: Tensor,
    taps: Tensor,
    *,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: int | tuple[int, int, int, int] = 0,
    flip: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Upsample, filter and downsample images.

    Inserts up - 1 zeros after every sample, pads, convolves, and keeps every down-th sample from
    the first on. Differentiable in `x` any number of times; `taps` are constants. Keeps the dtype
    of `x` outside autocast, which the callers leave.

    Args:
        x: [N, C, H, W], floating point, any range.
        taps: [kh, kw], or [k] for its outer product with itself; [1, k] filters rows only.
        up: upsampling factor, or (horizontal, vertical) factors.
        down: downsampling factor, or (horizontal, vertical) factors.
        padding: zeros on the (left, right, top, bottom) after the upsampling; negative: crops.
        flip: whether to correlate instead of convolve.
        gain: factor of the result, for both axes together.

    Returns:
        [N, C, H', W'] with H' = (H * up + top + bottom - kh) // down + 1 and W' likewise.

    Raises:
        ValueError: the filter is larger than the padded image.
    """
    up, down = _pair(up), _pair(down)
    pad = (padding,) * 4 if isinstance(padding, int) else padding
    taps = taps.detach().to(x) * gain  # scaling the few taps is cheaper than scaling the image
    # A long separable filter: one pass over rows, one over columns; the gain only once.
    if taps.ndim == 1 and len(taps) >= _SEPARABLE_FROM:
        row = taps[None, :]
        x = _resample(x, row, _Plan(up[0], 1, down[0], 1, pad[0], pad[1], 0, 0), flip)
        column = taps[:, None] / gain
        return _resample(x, column, _Plan(1, up[1], 1, down[1], 0, 0, pad[2], pad[3]), flip)
    if taps.ndim == 1:
        taps = torch.outer(taps, taps / gain)
    return _resample(x, taps, _Plan(*up, *down, *pad), flip)


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Double the size of images and keep their brightness.

    Args:
        x: [N, C, H, W].
        taps: [k] or [kh, kw] with sum 1.

    Returns:
        [N, C, 2H, 2W].
    """
    left, top = ((k + 1) // 2 for k in _sides(taps))
    right, bottom = ((k - 2) // 2 for k in _sides(taps))
    # Three of four samples are inserted zeros: without the gain of 4 the image would be darker.
    return upfirdn2d(x, taps, up=2, padding=(left, right, top, bottom), gain=4.0)


def downsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Halve the size of images and keep their brightness.

    Args:
        x: [N, C, H, W] with even H and W.
        taps: [k] or [kh, kw] with sum 1.

    Returns:
        [N, C, H/2, W/2].
    """
    left, top = ((k - 1) // 2 for k in _sides(taps))
    right, bottom = ((k - 2) // 2 for k in _sides(taps))
    return upfirdn2d(x, taps, down=2, padding=(left, right, top, bottom))


def _pair(factor: int | tuple[int, int]) -> tuple[int, int]:
    return (factor, factor) if isinstance(factor, int) else factor


def _sides(taps: Tensor) -> tuple[int, int]:
    """Return (width, height) of the filter."""
    return taps.shape[-1], taps.shape[0]


class _Plan(NamedTuple):
    """The geometry of a resampling; x is horizontal, y vertical."""

    up_x: int
    up_y: int
    down_x: int
    down_y: int
    left: int
    right: int
    top: int
    bottom: int

    def out_size(self, height: int, width: int, taps: Tensor) -> tuple[int, int]:
        kw, kh = _sides(taps)
        h = (height * self.up_y + self.top + self.bottom - kh) // self.down_y + 1
        w = (width * self.up_x + self.left + self.right - kw) // self.down_x + 1
        return h, w

    def adjoint(self, size: tuple[int, int], out: tuple[int, int], taps: Tensor) -> "_Plan":
        """Return the plan of the transposed linear map, from `out` = (H', W') to `size` = (H, W).

        Sample i of the input reaches sample j of the output through tap
        k = j * down - i * up + n - 1 - left, with n taps. Read from j to i, this is a resampling
        with up and down exchanged, the flipped filter and n - 1 - left zeros in front.
        """
        kw, kh = _sides(taps)
        # Zeros in front as in the docstring; those at the end make the size come out right.
        left, top = kw - 1 - self.left, kh - 1 - self.top
        right = size[1] * self.up_x - self.up_x + kw - out[1] * self.down_x - left
        bottom = size[0] * self.up_y - self.up_y + kh - out[0] * self.down_y - top
        up, down = (self.down_x, self.down_y), (self.up_x, self.up_y)
        return _Plan(*up, *down, left, right, top, bottom)


def _resample(x: Tensor, taps: Tensor, plan: _Plan, flip: bool) -> Tensor:
    h, w = plan.out_size(x.shape[2], x.shape[3], taps)
    if h < 1 or w < 1:
        kw, kh = _sides(taps)
        raise ValueError(
            f"a {kh}x{kw} filter is larger than the padded image of {tuple(x.shape[2:])} and {plan}"
        )
    if torch.compiler.is_compiling():
        return _compute(x, taps, plan, flip)  # plain operations, which the compiler can fuse
    result: Tensor = _Resample.apply(x, taps, plan, flip)
    return result


class _Resample(torch.autograd.Function):
    """A resampling whose gradient is another resampling, so that derivatives of all orders exist.

    torch's own second derivative of a depthwise convolution is many times slower.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, plan: _Plan, flip: bool) -> Tensor:
        y = _compute(x, taps, plan, flip)
        ctx.save_for_backward(taps)
        ctx.flip = flip
        # The gradient needs neither x nor y, only their sizes.
        ctx.adjoint = plan.adjoint((x.shape[2], x.shape[3]), (y.shape[2], y.shape[3]), taps)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (taps,) = ctx.saved_tensors
        # Through `_Resample` again, so this gradient has a gradient of its own.
        return _Resample.apply(grads[0], taps, ctx.adjoint, not ctx.flip), None, None, None


def _compute(x: Tensor, taps: Tensor, plan: _Plan, flip: bool) -> Tensor:
    # conv2d correlates and conv_transpose2d convolves, hence the opposite flips.
    if plan.up_x == 1 and plan.up_y == 1:
        return _filter_and_drop(x, taps if flip else taps.flip(0, 1), plan)
    return _insert_and_filter(x, taps.flip(0, 1) if flip else taps, plan)


def _filter_and_drop(x: Tensor, kernel: Tensor, plan: _Plan) -> Tensor:
    """Resample without upsampling: one strided depthwise convolution (conv2d correlates)."""
    # The convolution itself can pad, but only symmetrically; `_pad` does the rest.
    x_pad, y_pad = min(plan.left, plan.right), min(plan.top, plan.bottom)
    x_pad, y_pad = max(x_pad, 0), max(y_pad, 0)
    x = _pad(x, plan.left - x_pad, plan.right - x_pad, plan.top - y_pad, plan.bottom - y_pad)
    # Depthwise: every channel has the same filter, and expanding it copies nothing.
    weight = kernel.expand(x.shape[1], 1, *kernel.shape)
    stride = (plan.down_y, plan.down_x)
    return F.conv2d(x, weight, stride=stride, padding=(y_pad, x_pad), groups=x.shape[1])


def _insert_and_filter(x: Tensor, kernel: Tensor, plan: _Plan) -> Tensor:
    """Resample with upsampling: a transposed depthwise convolution, cropped to the padding.

    Its full output begins n - 1 samples before that of a padding of 0, with n taps.
    """
    kw, kh = _sides(kernel)
    h, w = plan.out_size(x.shape[2], x.shape[3], kernel)
    length_x, length_y = (w - 1) * plan.down_x + 1, (h - 1) * plan.down_y + 1
    full_x, full_y = (x.shape[3] - 1) * plan.up_x + kw, (x.shape[2] - 1) * plan.up_y + kh
    # Samples to crop; negative: to add. The convolution crops the symmetric part.
    left, top = kw - 1 - plan.left, kh - 1 - plan.top
    right, bottom = full_x - left - length_x, full_y - top - length_y
    x_crop, y_crop = max(min(left, right), 0), max(min(top, bottom), 0)
    y = F.conv_transpose2d(
        x,
        kernel.expand(x.shape[1], 1, kh, kw),
        stride=(plan.up_y, plan.up_x),
        padding=(y_crop, x_crop),
        groups=x.shape[1],
    )
    y = _pad(y, x_crop - left, x_crop - right, y_crop - top, y_crop - bottom)
    return y[:, :, :: plan.down_y, :: plan.down_x]


def _pad(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Add zeros around x; negative numbers crop."""
    return F.pad(x, (left, right, top, bottom)) if left or right or top or bottom else x
