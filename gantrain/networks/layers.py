"""Building blocks shared by the networks: norms, padding, weight initialization, precision."""

from typing import Literal

import torch
from torch import Tensor, nn

from gantrain.networks.eval_mode import BatchNorm
from gantrain.ops.precision import at_least_float32
from gantrain.ops.reflect import reflect_pad

Norm = Literal["instance", "batch", "none"]
Init = Literal["normal", "xavier", "kaiming", "orthogonal"]
Upsample = Literal["transpose", "resize", "antialias"]
Downsample = Literal["strided", "antialias"]


class ReflectionPad(nn.Module):
    """Reflection padding that is reproducible on every device, see `reflect_pad`.

    Args:
        padding: pixels added on each side.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H + 2 * padding, W + 2 * padding]."""
        return reflect_pad(x, self.padding)

    def extra_repr(self) -> str:
        """Return the padding, shown when the module is printed."""
        return str(self.padding)


class InstanceNorm(nn.InstanceNorm2d):
    """torch's instance norm, which keeps the memory layout of its input.

    torch's own returns NCHW from NHWC, which costs a copy for every convolution after it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W] of mean 0 and variance 1 per image and channel."""
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            y = super().forward(x)
            if y.requires_grad and torch.is_grad_enabled():
                # torch 2.13 takes an NHWC gradient of a single NCHW image for an NCHW one.
                y.register_hook(torch.Tensor.contiguous)
            return y
        wide = at_least_float32(x)
        variance, mean = torch.var_mean(wide, dim=(2, 3), correction=0, keepdim=True)
        return ((wide - mean) * torch.rsqrt(variance + self.eps)).to(x.dtype)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return the normalization for [N, channels, H, W].

    Instance norm has neither parameters nor state, so train() and eval() agree.

    Args:
        norm: "instance", "batch" or "none".
        channels: features to normalize.
    """
    if norm == "instance":
        # torch's defaults, as in the reference: no affine parameters, no running statistics.
        return InstanceNorm(channels)
    if norm == "batch":
        return BatchNorm(channels)
    return nn.Identity()


def uses_bias(norm: Norm) -> bool:
    """Return whether a convolution before `norm` needs a bias; batch norm has its own.

    The reference drops it for "none" too and is left with no bias at all.
    """
    return norm != "batch"


@torch.no_grad()
def init_weights(net: nn.Module, init: Init = "normal", gain: float = 0.02) -> nn.Module:
    """Initialize a network in place as CycleGAN's reference does.

    Weights of convolutions and linear layers are drawn by `init`, biases are 0, batch norm's
    scales are drawn from N(1, gain).

    Args:
        net: the network, changed in place.
        init: "normal" draws N(0, gain); "xavier", "kaiming" (fan in) and "orthogonal" are those of
            `torch.nn.init`.
        gain: standard deviation or gain; "kaiming" ignores it, as in the reference.

    Returns:
        The same network.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if init == "normal":
                nn.init.normal_(module.weight, 0.0, gain)
            elif init == "xavier":
                nn.init.xavier_normal_(module.weight, gain)
            elif init == "kaiming":
                # a=0 is the gain of a ReLU: the reference uses it for D's leaky ReLUs too.
                nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in")
            else:
                nn.init.orthogonal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):  # instance norm has nothing to initialize
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
    return net


def in_float32(layers: nn.Module, x: Tensor) -> Tensor:
    """Run output layers outside autocast, in float32 or wider.

    bfloat16 near +-1 has steps of half an 8-bit level: images computed in it show banding.

    Args:
        layers: the last layers of a network.
        x: their input, [N, C, H, W] or [N, F].
    """
    with without_autocast(x):
        return layers(at_least_float32(x))


def without_autocast(x: Tensor) -> torch.autocast:
    """Return a context without autocast on the device of x."""
    return torch.autocast(x.device.type, enabled=False)


def half_dtype(x: Tensor) -> torch.dtype | None:
    """Return autocast's dtype on the device of x; None outside autocast and for float64.

    Autocast itself leaves float64 alone too.
    """
    device = x.device.type
    if x.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return None
    # For blocks that leave autocast and cast by themselves, some of them to this dtype.
    return torch.get_autocast_dtype(device)
