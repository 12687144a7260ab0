"""Layers with an equalized learning rate: weights ~ N(0, 1), scaled at run time.

Karras et al. 2018, "Progressive growing of GANs", section 4.1 (arXiv 1710.10196).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.ops import bias_act, fir, modulated_conv
from gantrain.ops.bias_act import Activation

NoiseMode = Literal["random", "const", "none"]
RESIDUAL_GAIN = 0.5**0.5  # of each of two branches, so that their sum keeps the variance
FILTER = fir.fir_taps([1, 3, 3, 1])  # the binomial filter of all resampling in StyleGAN2
_GAIN = {"lrelu": 2**0.5, "linear": 1.0}  # keeps the variance of activations (He et al. 2015)


def normalize_2nd_moment(x: Tensor) -> Tensor:
    """Scale every row of [N, F] to a mean square of 1."""
    # 1e-8 keeps an all-zero row (the embedding of an all-zero label) finite.
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """Fully connected layer with an activation.

    Args:
        lr_multiplier: scales the effective learning rate of weights and biases.
        bias_init: initial value of the biases.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Activation = "linear",
        *,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        # Stored 1 / lr_multiplier times as large and scaled back at run time: a step of Adam, whose
        # size does not depend on the gradient's, changes them lr_multiplier times as much.
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.activation: Activation = activation
        self.lr_multiplier = lr_multiplier
        self.scale = lr_multiplier / in_features**0.5

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] -> [N, out_features]."""
        return bias_act.bias_act(
            F.linear(x, self.weight),
            self.bias if self.lr_multiplier == 1 else self.bias * self.lr_multiplier,
            self.activation,
            scale=self.scale,
            gain=_GAIN[self.activation],
        )


class ConvLayer(nn.Module):
    """Convolution with "same" padding, optional resampling by 2, bias and activation.

    Args:
        kernel: side of the square kernel, odd.
        up, down: 1 or 2; 2 up- or downsamples with `FILTER`.
        conv_clamp: largest absolute output when x is in half precision; None: no limit.
    """

    constant_buffers: tuple[str, ...] = ()

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        activation: Activation = "linear",
        *,
        bias: bool = True,
        up: int = 1,
        down: int = 1,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.activation: Activation = activation
        self.up, self.down, self.conv_clamp = up, down, conv_clamp
        self.scale = 1 / (in_channels * kernel**2) ** 0.5  # He et al. 2015, applied at run time

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """[N, in_channels, H, W] -> `gain` * [N, out_channels, H * up / down, W * up / down].

        Args:
            x: in full or half precision, which the result shares.
            gain: factor of the result, besides that of the activation.
        """
        x = self._convolve(x, self.weight.to(x.dtype))
        bias = None if self.bias is None else self.bias.to(x.dtype)
        total_gain = _GAIN[self.activation] * gain
        # The clamp comes after the gain, so its bound is scaled by it too.
        clamp = clamp_in_half(x, self.conv_clamp, gain)
        return bias_act.bias_act(
            x, bias, self.activation, scale=self.scale, gain=total_gain, clamp=clamp
        )

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        pointwise = weight.shape[-1] == 1
        if self.down == 2 and not pointwise:
            # Filter against aliasing, then let the stride drop every second sample.
            x = fir.upfirdn2d(x, FILTER, padding=2)
            return F.conv2d(x, weight, stride=2)
        # A 1x1 convolution and the filter commute: convolve at the lower resolution.
        if self.down == 2:
            x = fir.downsample2d(x, FILTER)
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return fir.upsample2d(x, FILTER) if self.up == 2 else x


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    Args:
        size: (height, width) of the output in pixels.
        up: 1, or 2: the output has twice the size of the input.
        conv_clamp: as in `ConvLayer`.
    """

    noise_const: Tensor
    constant_buffers: tuple[str, ...] = ("noise_const",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: tuple[int, int],
        *,
        up: int = 1,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        # A bias of 1: before training, styles are around 1 and leave the weights unchanged.
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        # No runtime scale: demodulation normalizes the weights anyway.
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))  # noise fades in during training
        self.register_buffer("noise_const", torch.randn(size))
        self.up, self.size, self.conv_clamp = up, size, conv_clamp

    def forward(
        self, x: Tensor, w: Tensor, noise_mode: NoiseMode = "random", gain: float = 1.0
    ) -> Tensor:
        """Features [N, in_channels, H, W], w [N, w_dim] -> `gain` * [N, out_channels, *size].

        Args:
            x: in full or half precision, which the result shares.
            w: in full precision.
            noise_mode: see `SynthesisNetwork.forward`.
            gain: factor of the result, besides that of the activation.
        """
        x = modulated_conv.modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            up=self.up,
            taps=FILTER,
            noise=self._noise(x.shape[0], noise_mode),
        )
        clamp = clamp_in_half(x, self.conv_clamp, gain)
        return bias_act.bias_act(x, self.bias.to(x.dtype), gain=_GAIN["lrelu"] * gain, clamp=clamp)

    def _noise(self, n: int, mode: NoiseMode) -> Tensor | None:
        """Return noise [n or 1, 1, H, W] times its learned strength."""
        if mode == "none":
            return None
        if mode == "const":
            noise = self.noise_const * self.noise_strength
            return noise if noise.ndim == 4 else noise[None, None]  # 4: of each image, projected
        # In the dtype of the parameters: the draws do not depend on the precision of the block.
        strength = self.noise_strength
        noise = torch.randn(n, 1, *self.size, device=strength.device, dtype=strength.dtype)
        return noise * strength


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation."""

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, conv_clamp: float | None = None
    ) -> None:
        super().__init__()
        # Styles around 1 at first, as in `SynthesisLayer`.
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.conv_clamp = conv_clamp
        self.scale = 1 / in_channels**0.5

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Features [N, in_channels, H, W], w [N, w_dim] -> [N, out_channels, H, W]."""
        styles = self.affine(w) * self.scale  # instead of scaling the weights, without demodulation
        x = modulated_conv.modulated_conv2d(x, self.weight, styles, demodulate=False)
        clamp = clamp_in_half(x, self.conv_clamp)
        return bias_act.bias_act(x, self.bias.to(x.dtype), "linear", clamp=clamp)


def clamp_in_half(x: Tensor, clamp: float | None, gain: float = 1.0) -> float | None:
    """Return the bound of a layer's output, or None: only half precision might overflow.

    Args:
        x: the output of the layer; its dtype decides.
        clamp: bound at a gain of 1; None: no limit.
        gain: factor of the output, and so of the bound.
    """
    is_half = x.dtype in (torch.float16, torch.bfloat16)
    return clamp * gain if is_half and clamp is not None else None
