"""StyleGAN3's Fourier features and layers (Karras et al. 2021, sections 3 and appendix F)."""

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.networks.stylegan2.layers import FullyConnected
from gantrain.networks.stylegan3.filters import lowpass
from gantrain.networks.stylegan3.plan import Signal
from gantrain.ops.filtered_lrelu import FilteredLeakyReLU, Resampling
from gantrain.ops.modulated_conv import demodulation
from gantrain.ops.precision import at_least_float32

FILTER_SIZE = 6  # taps per sample of the lower rate
OVERSAMPLING = 2  # of the leaky ReLU, relative to the higher rate of input and output


class FourierInput(nn.Module):
    """Sine waves of random frequencies, rotated and shifted by w and by a matrix.

    The user's matrix [3, 3] acts on positions (x, y, 1) of the output, x to the right and y down,
    with the image in [-0.5, 0.5]: the wave at p is the untransformed one at U p.

    Args:
        w_dim: entries of w.
        signal: what it makes; frequencies are drawn up to its cutoff.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor
    constant_buffers: tuple[str, ...] = ("freqs", "phases", "transform")

    def __init__(self, w_dim: int, signal: Signal) -> None:
        super().__init__()
        self.signal, channels = signal, signal.channels
        freqs = torch.randn(channels, 2)
        radii = freqs.square().sum(1, keepdim=True).sqrt()
        # From a normal distribution to a uniform one on the disc, nearly.
        freqs = freqs / (radii * radii.square().exp() ** 0.25) * signal.cutoff
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnected(w_dim, 4)  # w -> (r_c, r_s, t_x, t_y); at first the identity
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, w: Tensor, transform: Tensor | None = None) -> Tensor:
        """Return features [N, channels, size, size] in the dtype of w.

        Args:
            w: [N, w_dim] in full precision.
            transform: U, [3, 3] or [N, 3, 3]; None: the buffer `transform`, the identity.
        """
        user = self.transform if transform is None else transform
        moved = _pose(self.affine(w)) @ user.to(w.dtype)
        # f . (M p) + phase = (f M) . p + (phase + f . t)
        freqs = self.freqs @ moved[:, :2, :2]
        phases = self.phases + (moved[:, None, :2, 2] * self.freqs).sum(2)
        # Frequencies beyond the band would alias: they fade out up to half the sampling rate.
        norm = freqs.square().sum(2).sqrt()
        bandwidth, nyquist = self.signal.cutoff, self.signal.rate / 2
        amplitudes = (1 - (norm - bandwidth) / (nyquist - bandwidth)).clamp(0, 1)

        size = self.signal.size
        p = (torch.arange(size, device=w.device, dtype=w.dtype) + 0.5 - size / 2) / self.signal.rate
        along_x, along_y = freqs[:, :, :1] * p, freqs[:, :, 1:] * p + phases[:, :, None]
        waves = torch.sin((along_x[:, :, None, :] + along_y[:, :, :, None]) * (2 * pi))
        # The amplitudes scale columns of the weight instead of whole maps.
        mix = self.weight / self.weight.shape[1] ** 0.5 * amplitudes[:, None]
        return torch.bmm(mix, waves.flatten(2)).unflatten(2, (size, size))


def _pose(t: Tensor) -> Tensor:
    """Return the rotation times the translation that (r_c, r_s, t_x, t_y) [N, 4] stand for."""
    t = t / t[:, :2].square().sum(1, keepdim=True).sqrt()
    cos, sin, x, y = t.unbind(1)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1).view(-1, 3, 3)
    translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], 1).view(-1, 3, 3)
    return rotation @ translation


class ModulatedLayer(nn.Module):
    """What a `SynthesisLayer` and the `ToRGB` share: a style, weights and the input's magnitude.

    The buffer `magnitude_ema` is the running mean of x^2. Dividing by its root keeps the features
    in range without a statistic of the image, which would depend on where things are.

    Args:
        magnitude_beta: decay of the running mean.
    """

    magnitude_ema: Tensor

    def __init__(
        self, w_dim: int, in_channels: int, out_channels: int, kernel: int, magnitude_beta: float
    ) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.magnitude_beta = magnitude_beta

    def input_gain(self, x: Tensor, update: bool) -> Tensor:
        """Return 1 / sqrt(running mean of x^2); `update` moves the mean first."""
        if update:
            with torch.no_grad():
                mean = at_least_float32(x.detach()).square().mean()
                # In place: the averaging over microbatches and ranks holds on to this tensor.
                self.magnitude_ema.copy_(mean.lerp(self.magnitude_ema, self.magnitude_beta))
        # A copy: the next update of the buffer must not reach into a graph that is still needed.
        return self.magnitude_ema.clone().rsqrt()


class SynthesisLayer(ModulatedLayer):
    """Modulated convolution and filtered leaky ReLU, from one sampling rate to another.

    Args:
        w_dim: entries of w.
        before, after: its input and its output.
        kernel: side of the convolution's kernel, 3 or 1.
        radial: whether the downsampling filter is radial, unless sampling is critical.
        conv_clamp: largest absolute value after the leaky ReLU; None: no limit.
        magnitude_beta: see `ModulatedLayer`.
    """

    def __init__(
        self,
        w_dim: int,
        before: Signal,
        after: Signal,
        *,
        kernel: int,
        radial: bool,
        conv_clamp: float | None,
        magnitude_beta: float,
    ) -> None:
        super().__init__(w_dim, before.channels, after.channels, kernel, magnitude_beta)
        self.activation = _activation(before, after, kernel, radial, conv_clamp)

    def forward(self, x: Tensor, w: Tensor, update: bool = False) -> Tensor:
        """Features [N, C, size, size] of `before`, w [N, w_dim] -> those of `after`.

        Args:
            x: in full or half precision, which the result shares.
            w: in full precision.
            update: whether to move the running mean of the input's magnitude.
        """
        gain = self.input_gain(x, update)
        # Both normalized, so that half precision suffices; the demodulation cancels their scale.
        weight = self.weight * self.weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        styles = self.affine(w)
        styles = styles * styles.square().mean().rsqrt()
        scale = demodulation(weight, styles) * gain
        x = x * styles.to(x.dtype)[:, :, None, None]
        x = F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] - 1)  # the full convolution
        x = torch.addcmul(
            self.bias.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, :, None, None]
        )
        return self.activation(x)


def _activation(
    before: Signal, after: Signal, kernel: int, radial: bool, clamp: float | None
) -> FilteredLeakyReLU:
    """Return the leaky ReLU between two signals, whose filters also change the sampling rate."""
    rate = OVERSAMPLING * max(before.rate, after.rate)
    up, down = rate // before.rate, rate // after.rate
    up_taps = lowpass(FILTER_SIZE * up, before.cutoff, before.half_width, rate)
    down_taps = lowpass(
        FILTER_SIZE * down,
        after.cutoff,
        after.half_width,
        rate,
        radial=radial and not after.critical,
    )
    # Samples to add (negative: to crop) so that the output has its size, centred.
    total = (after.size - 1) * down + 1 - (before.size + kernel - 1) * up
    total += len(up_taps) + len(down_taps) - 2
    first = (total + up) // 2
    last = total - first
    padding = (first, last, first, last)
    return FilteredLeakyReLU(
        Resampling(up_taps, up=up, padding=padding, gain=float(up**2)),
        Resampling(down_taps, down=down),
        clamp=clamp,
    )


class ToRGB(ModulatedLayer):
    """Modulated 1x1 convolution to the image's channels, without demodulation and activation.

    Args:
        w_dim, before, after, conv_clamp, magnitude_beta: see `SynthesisLayer`.
    """

    def __init__(
        self,
        w_dim: int,
        before: Signal,
        after: Signal,
        *,
        conv_clamp: float | None,
        magnitude_beta: float,
    ) -> None:
        super().__init__(w_dim, before.channels, after.channels, 1, magnitude_beta)
        self.conv_clamp = conv_clamp

    def forward(self, x: Tensor, w: Tensor, update: bool = False) -> Tensor:
        """Features [N, C, H, W], w [N, w_dim] -> [N, image channels, H, W]."""
        gain = self.input_gain(x, update)
        styles = self.affine(w) * (gain / x.shape[1] ** 0.5)
        # Weights for every sample are smaller than the product of features and styles.
        weight = (self.weight[:, :, 0, 0] * styles[:, None]).to(x.dtype)
        image = torch.bmm(weight, x.flatten(2)).unflatten(2, x.shape[2:])
        image = image + self.bias.to(x.dtype)[:, None, None]
        return image if self.conv_clamp is None else image.clamp(-self.conv_clamp, self.conv_clamp)
