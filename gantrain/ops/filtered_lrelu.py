"""Leaky ReLU between up- and downsampling, so that its new frequencies do not alias.

Karras et al. 2021, "Alias-free generative adversarial networks" (arXiv 2106.12423), section 3.1.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.ops import fir
from gantrain.ops.bias_act import SLOPE
from gantrain.ops.fir_plan import Axis
from gantrain.ops.functions import QuickFunction

Padding = tuple[int, int, int, int]
_NONE: Padding = (0, 0, 0, 0)


@dataclass(frozen=True)
class Resampling:
    """One resampling by `fir.upfirdn2d`, and its transpose.

    Args:
        taps: of the filter, [k] or [k, k].
        up, down, padding, gain: see `fir.upfirdn2d`.
    """

    taps: fir.Taps
    up: int = 1
    down: int = 1
    padding: Padding = _NONE
    gain: float = 1.0

    def apply(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H', W']."""
        return fir.upfirdn2d(
            x,
            self.taps,
            up=self.up,
            down=self.down,
            padding=self.padding,
            gain=self.gain,
            opaque=True,
        )

    def transpose(self, y: Tensor, size: torch.Size) -> Tensor:
        """[N, C, H', W'] -> [N, C, H, W], the transposed linear map.

        Args:
            y: like the output of `apply`.
            size: the shape of its input.
        """
        left, right, top, bottom = self.padding
        x_axis = Axis(len(self.taps), self.up, self.down, left, right)
        y_axis = Axis(len(self.taps), self.up, self.down, top, bottom)
        x_back, y_back = x_axis.adjoint(size[3], y.shape[3]), y_axis.adjoint(size[2], y.shape[2])
        padding = (x_back.before, x_back.after, y_back.before, y_back.after)
        return fir.upfirdn2d(
            y,
            self.taps,
            up=self.down,
            down=self.up,
            padding=padding,
            flip=True,
            gain=self.gain,
            opaque=True,
        )


@dataclass(frozen=True)
class FilteredLeakyReLU:
    """y = down(clamp(gain * lrelu(up(x)))), differentiable in x any number of times.

    The map between `up` and `down` has 4 to 16 times the size of x or y. It is not kept for the
    backward pass, but computed again there: of one call, only x stays in memory.

    Args:
        up: the resampling in front of the leaky ReLU.
        down: the one after it.
        gain: positive factor of the leaky ReLU.
        slope: of its negative side.
        clamp: largest absolute value of its result; None: no limit.
    """

    up: Resampling
    down: Resampling
    gain: float = 2**0.5
    slope: float = SLOPE
    clamp: float | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H', W'], in the dtype of x."""
        # A compiler decides by itself what to keep, and an exported file has no backward pass.
        if torch.compiler.is_compiling() or torch.compiler.is_exporting():
            return self.plain(x)
        result: Tensor = _Filtered.apply(x, self)
        return result

    def plain(self, x: Tensor) -> Tensor:
        """Compute the same by torch's operations, which keep what their gradients need."""
        return self.down.apply(self._activate(self.up.apply(x)))

    def _activate(self, u: Tensor) -> Tensor:
        u = F.leaky_relu(u if self.gain == 1 else u * self.gain, self.slope, inplace=True)
        return u if self.clamp is None else u.clamp(-self.clamp, self.clamp)

    def compute(self, x: Tensor) -> Tensor:
        """Compute the same where nothing is recorded for a gradient: one map at a time."""
        u = F.leaky_relu_(self.up.apply(x), self.slope)
        if self.gain != 1:
            u.mul_(self.gain)
        if self.clamp is not None:
            u.clamp_(-self.clamp, self.clamp)
        return self.down.apply(u)

    def derivative(self, x: Tensor, v: Tensor, *, transposed: bool) -> Tensor:
        """Return J v or J^T v with the Jacobian J = down diag(gain * lrelu'(up(x))) up.

        Args:
            x: [N, C, H, W].
            v: like x; transposed: like the output.
            transposed: whether J is transposed.
        """
        slopes = self._slopes(self.up.apply(x))
        if transposed:
            return self.up.transpose(slopes.mul_(self.down.transpose(v, slopes.shape)), x.shape)
        return self.down.apply(slopes.mul_(self.up.apply(v)))

    def _slopes(self, u: Tensor) -> Tensor:
        """Return the derivative of the leaky ReLU with gain and clamp at u, in the memory of u."""
        positive = u > 0
        kept = None
        if self.clamp is not None:  # at the bound itself the derivative is that inside
            bound = self.clamp / self.gain
            kept = (u <= bound) & (u >= -bound / self.slope)
        u.fill_(self.gain * self.slope).masked_fill_(positive, self.gain)
        return u if kept is None else u.mul_(kept)


class _Filtered(QuickFunction):
    @staticmethod
    def forward(x: Tensor, layer: FilteredLeakyReLU) -> Tensor:
        return layer.compute(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, FilteredLeakyReLU], output: Tensor) -> None:
        x, ctx.layer = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return _Derivative.apply(grads[0], x, ctx.layer, True), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        return _Derivative.apply(tangents[0], x, ctx.layer, False)


class _Derivative(QuickFunction):
    """J v or J^T v. J is piecewise constant, so that only v has a derivative, again J^T or J."""

    @staticmethod
    def forward(v: Tensor, x: Tensor, layer: FilteredLeakyReLU, transposed: bool) -> Tensor:
        return layer.derivative(x, v, transposed=transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _, x, ctx.layer, ctx.transposed = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        v = _Derivative.apply(grads[0], x, ctx.layer, not ctx.transposed)
        return v, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        return _Derivative.apply(tangents[0], x, ctx.layer, ctx.transposed)
