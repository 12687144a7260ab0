"""Bias, activation, gain and clamp in one step, differentiable any number of times."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.ops.tracing import is_traced

Activation = Literal["lrelu", "linear"]
SLOPE = 0.2


def bias_act(
    x: Tensor,
    bias: Tensor | None,
    act: Activation = "lrelu",
    *,
    scale: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """Return clamp(gain * act(scale * x + bias)).

    `scale` takes a layer's equalized learning rate: scaling its output costs nothing here, scaling
    its weights would cost a copy of them in every forward and backward pass.

    Args:
        x: [N, C, ...], any range.
        bias: [C] in the dtype of x, or None.
        act: "lrelu" (leaky ReLU of slope 0.2) or "linear".
        scale: positive factor of x.
        gain: positive factor of the result.
        clamp: largest absolute value of the result; None: no limit.

    Returns:
        A tensor of the shape and dtype of x.
    """
    y = _affine(x, bias, scale * gain, gain)  # gain > 0, so it may go in front of the activation
    if act == "lrelu":
        # In place unless y is the caller's x: the gradient needs only the sign, which y keeps.
        y = F.leaky_relu(y, SLOPE, inplace=y is not x)
    return y if clamp is None else y.clamp(-clamp, clamp)


def _affine(x: Tensor, bias: Tensor | None, x_gain: float, bias_gain: float) -> Tensor:
    if bias is None:
        return x if x_gain == 1 else x * x_gain
    bias = bias.view(-1, *[1] * (x.ndim - 2))  # broadcasts over the dimensions after C
    bias = bias if bias_gain == 1 else bias * bias_gain
    if is_traced():  # inductor drops `alpha` if x is a matrix product
        return bias + (x if x_gain == 1 else x * x_gain)
    return torch.add(bias, x, alpha=x_gain)
