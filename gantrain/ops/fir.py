"""Resampling with a constant FIR filter: insert zeros, pad, filter, keep every n-th sample.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN". Inserted zeros are
never written and dropped samples are never computed. A filter is given by its taps, the
coefficients: Python numbers, so they lie on no device and in no dtype.

Three ways compute the same. A CPU uses strided depthwise convolutions. CUDA has a kernel of its own
(`fir_kernel`), since cuDNN is slow at transposed depthwise convolutions. What is compiled or traced
consists of plain operations (`fir_plain`), which a compiler fuses with their neighbours; they serve
other devices as well. A filter may also be a single operation there, if the caller has too many.
"""

import math
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses import FakeTensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from gantrain.ops import fir_plain
from gantrain.ops.constants import made_once
from gantrain.ops.fir_plan import Axis, Plan, Rows, reverse
from gantrain.ops.functions import QuickFunction
from gantrain.ops.tracing import is_traced

# [k] for its outer product with itself, or [kh, kw].
Taps = Sequence[float] | Sequence[Sequence[float]]

# From this length on, two passes over a 1-D filter cost less than one over its outer product.
_SEPARABLE_FROM = 8
_KERNEL_TAPS = 64  # the CUDA kernel is unrolled, which larger filters would make long


def fir_taps(taps: Taps) -> tuple[float, ...] | tuple[tuple[float, ...], ...]:
    """Return the taps of a filter, [k] or [kh, kw], normalized to sum 1."""
    rows, is_2d = _rows(taps)
    total = sum(sum(row) for row in rows)
    scaled = tuple(tuple(tap / total for tap in row) for row in rows)
    return scaled if is_2d else scaled[0]


def upfirdn2d(
    x: Tensor,
    taps: Taps,
    *,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: int | tuple[int, int, int, int] = 0,
    flip: bool = False,
    gain: float = 1.0,
    opaque: bool = False,
) -> Tensor:
    """Upsample, filter and downsample images.

    Inserts up - 1 zeros after every sample, pads, convolves, and keeps every down-th sample from
    the first on. Differentiable in `x` any number of times, in reverse and forward mode. Keeps the
    dtype of `x` outside autocast, which the callers leave.

    Args:
        x: [N, C, H, W], floating point, any range.
        taps: [kh, kw], or [k] for its outer product with itself; [1, k] filters rows only.
        up: upsampling factor, or (horizontal, vertical) factors.
        down: downsampling factor, or (horizontal, vertical) factors.
        padding: zeros on the (left, right, top, bottom) after the upsampling; negative: crops.
        flip: whether to correlate instead of convolve.
        gain: factor of the result, for both axes together.
        opaque: whether it is one operation in a recording, which a compiler calls and does not
            look into: where many long filters would keep it busy for an hour.

    Returns:
        [N, C, H', W'] with H' = (H * up + top + bottom - kh) // down + 1 and W' likewise.

    Raises:
        ValueError: the filter is larger than the padded image.
    """
    (up_x, up_y), (down_x, down_y) = _pair(up), _pair(down)
    left, right, top, bottom = (padding,) * 4 if isinstance(padding, int) else padding
    rows, is_2d = _rows(taps)
    kernel = rows if flip else reverse(rows)  # what is correlated with x
    if not is_2d:
        line = kernel[0]
        # A long separable filter: one pass over rows, one over columns; the gain only once.
        if len(line) >= _SEPARABLE_FROM:
            along_x = Axis(len(line), up_x, down_x, left, right)
            along_y = Axis(len(line), up_y, down_y, top, bottom)
            x = _resample(x, Plan(_scale((line,), gain), along_x, _IDENTITY, opaque))
            return _resample(x, Plan(tuple((tap,) for tap in line), _IDENTITY, along_y, opaque))
        kernel = tuple(tuple(a * b for b in line) for a in line)
    axis_x = Axis(len(kernel[0]), up_x, down_x, left, right)
    axis_y = Axis(len(kernel), up_y, down_y, top, bottom)
    return _resample(x, Plan(_scale(kernel, gain), axis_x, axis_y, opaque))


def upsample2d(x: Tensor, taps: Taps) -> Tensor:
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


def downsample2d(x: Tensor, taps: Taps) -> Tensor:
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


_IDENTITY = Axis(taps=1, up=1, down=1, before=0, after=0)


def _pair(factor: int | tuple[int, int]) -> tuple[int, int]:
    return (factor, factor) if isinstance(factor, int) else factor


def _rows(taps: Taps) -> tuple[Rows, bool]:
    """Return the rows of a filter, [k] as a single one, and whether it has two dimensions."""
    rows = [row for row in taps if isinstance(row, Sequence)]
    if rows:
        return tuple(tuple(row) for row in rows), True
    return (tuple(tap for tap in taps if not isinstance(tap, Sequence)),), False


def _sides(taps: Taps) -> tuple[int, int]:
    """Return (width, height) of the filter."""
    rows, is_2d = _rows(taps)
    return len(rows[0]), len(rows) if is_2d else len(rows[0])


def _scale(kernel: Rows, gain: float) -> Rows:
    return tuple(tuple(tap * gain for tap in row) for row in kernel)


def _resample(x: Tensor, plan: Plan) -> Tensor:
    h, w = plan.out_size(x.shape[2], x.shape[3])
    if h < 1 or w < 1:
        raise ValueError(
            f"a {plan.y.taps}x{plan.x.taps} filter is larger than the padded image of "
            f"{tuple(x.shape[2:])}: {plan.y}, {plan.x}"
        )
    # Other programs know a convolution as what it is. (Compiling is exporting, says torch 2.11.)
    if torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling():
        return _convolve(x, plan)
    function = _Resample if torch.compiler.is_compiling() else _ResampleForward
    result: Tensor = function.apply(x, plan)
    return result


class _Resample(torch.autograd.Function):
    """A resampling whose gradient is another resampling, so that derivatives of all orders exist.

    torch's own second derivative of a depthwise convolution is many times slower, and the gradient
    of a slice is an image full of zeros.
    """

    @staticmethod
    def forward(x: Tensor, plan: Plan) -> Tensor:
        return _compute(x, plan)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Plan], output: Tensor) -> None:
        x, plan = inputs
        ctx.plan = plan
        # The gradient needs neither x nor the output, only their sizes.
        ctx.adjoint = plan.adjoint((x.shape[2], x.shape[3]), (output.shape[2], output.shape[3]))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Through a Function again, so this gradient has a gradient of its own.
        return _resample(grads[0], ctx.adjoint), None


class _ResampleForward(QuickFunction, _Resample):
    """With a rule for forward mode, on account of which torch.compile would break its graph."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _resample(tangents[0], ctx.plan)  # a linear map is its own derivative


def _compute(x: Tensor, plan: Plan) -> Tensor:
    if is_traced():
        if plan.opaque:
            return _resample_opaque(x, sum(plan.kernel, ()), [*plan.x, *plan.y])
        return fir_plain.resample(x, plan)
    return _compute_now(x, plan)


def _compute_now(x: Tensor, plan: Plan) -> Tensor:
    if x.device.type == "cpu":
        return _convolve(x, plan)
    if x.is_cuda and _fits_kernel(x, plan) and _kernel_runs(x.device):
        from gantrain.ops import fir_kernel

        return fir_kernel.resample(x, plan)
    # Sums of hundreds of slices would each be a pass over the image.
    is_large = plan.x.taps * plan.y.taps > _KERNEL_TAPS
    return _convolve(x, plan) if is_large else fir_plain.resample(x, plan)


@torch.library.custom_op("gantrain::resample", mutates_args=())
def _resample_opaque(x: Tensor, kernel: Sequence[float], axes: Sequence[int]) -> Tensor:
    """Resample as outside of a recording.

    Args:
        x: [N, C, H, W].
        kernel: the rows of `Plan.kernel`, one after another.
        axes: the entries of `Plan.x` and `Plan.y`.
    """
    y = _compute_now(x, _plan_of(kernel, axes))
    return y.contiguous(memory_format=_layout(x))


@_resample_opaque.register_fake
def _(x: Tensor, kernel: Sequence[float], axes: Sequence[int]) -> Tensor:
    size = _plan_of(kernel, axes).out_size(x.shape[2], x.shape[3])
    return x.new_empty(*x.shape[:2], *size).contiguous(memory_format=_layout(x))


def _plan_of(kernel: Sequence[float], axes: Sequence[int]) -> Plan:
    x, y = Axis(*axes[:5]), Axis(*axes[5:])
    rows = tuple(tuple(kernel[i * x.taps : (i + 1) * x.taps]) for i in range(y.taps))
    return Plan(rows, x, y)


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _fits_kernel(x: Tensor, plan: Plan) -> bool:
    # Whoever watches operations (fake tensors, the search for a NaN) cannot see into the kernel.
    is_watched = type(x) is not Tensor or _get_current_dispatch_mode() is not None
    # Pixels of one image, before and after, are counted in 32 bits.
    size = x.shape[1] * max(math.prod(x.shape[2:]), math.prod(plan.out_size(*x.shape[2:])))
    return not is_watched and size < 2**31 and plan.x.taps * plan.y.taps <= _KERNEL_TAPS


@cache
def _kernel_runs(device: torch.device) -> bool:
    """Return whether Triton is there and works: it needs a C compiler, and compute capability 7."""
    if find_spec("triton") is None:
        return False
    try:
        from gantrain.ops import fir_kernel

        fir_kernel.resample(torch.zeros(1, 1, 1, 1, device=device), _SMALLEST)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        warnings.warn(f"FIR filters run without their Triton kernel: {error}", stacklevel=2)
        return False
    return True


_SMALLEST = Plan(((1.0,),), _IDENTITY, _IDENTITY)


def _convolve(x: Tensor, plan: Plan) -> Tensor:
    # conv2d correlates and conv_transpose2d convolves, hence the opposite orders of the kernel.
    if plan.x.up == plan.y.up == 1:
        return _filter_and_drop(x, _kernel_like(x, plan.kernel), plan)
    return _insert_and_filter(x, _kernel_like(x, reverse(plan.kernel)), plan)


def _kernel_like(x: Tensor, kernel: Rows) -> Tensor:
    if x.device.type == "cpu" or isinstance(x, FakeTensor):
        return x.new_tensor(kernel)
    return _on_device(kernel, x.dtype, x.device)  # a copy at every call would make the host wait


@made_once
def _on_device(kernel: Rows, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(kernel, dtype=dtype).to(device)


def _filter_and_drop(x: Tensor, kernel: Tensor, plan: Plan) -> Tensor:
    """Resample without upsampling: one strided depthwise convolution (conv2d correlates)."""
    (left, right), (top, bottom) = plan.x[3:], plan.y[3:]
    # The convolution itself can pad, but only symmetrically; `_pad` does the rest.
    x_pad, y_pad = max(min(left, right), 0), max(min(top, bottom), 0)
    x = _pad(x, left - x_pad, right - x_pad, top - y_pad, bottom - y_pad)
    # Depthwise: every channel has the same filter, and expanding it copies nothing.
    weight = kernel.expand(x.shape[1], 1, *kernel.shape)
    stride = (plan.y.down, plan.x.down)
    return F.conv2d(x, weight, stride=stride, padding=(y_pad, x_pad), groups=x.shape[1])


def _insert_and_filter(x: Tensor, kernel: Tensor, plan: Plan) -> Tensor:
    """Resample with upsampling: a transposed depthwise convolution, cropped to the padding.

    Its full output begins n - 1 samples before that of a padding of 0, with n taps.
    """
    h, w = plan.out_size(x.shape[2], x.shape[3])
    left, right, x_crop = _crop(plan.x, x.shape[3], w)
    top, bottom, y_crop = _crop(plan.y, x.shape[2], h)
    y = F.conv_transpose2d(
        x,
        kernel.expand(x.shape[1], 1, *kernel.shape),
        stride=(plan.y.up, plan.x.up),
        padding=(y_crop, x_crop),
        groups=x.shape[1],
    )
    y = _pad(y, x_crop - left, x_crop - right, y_crop - top, y_crop - bottom)
    return y[:, :, :: plan.y.down, :: plan.x.down]


def _crop(axis: Axis, size: int, out: int) -> tuple[int, int, int]:
    """Return the samples to crop (negative: to add) on both sides, and the symmetric part."""
    full, length = (size - 1) * axis.up + axis.taps, (out - 1) * axis.down + 1
    before = axis.taps - 1 - axis.before
    after = full - before - length
    return before, after, max(min(before, after), 0)  # the convolution crops the symmetric part


def _pad(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Add zeros around x; negative numbers crop."""
    return F.pad(x, (left, right, top, bottom)) if left or right or top or bottom else x
