"""Pieces shared by the networks: norms, padding, weight initialisation, precision."""

from typing import Literal

import torch
from torch import Tensor, nn

from gantrain.ops.precision import at_least_float32
from gantrain.ops.reflect import reflect_pad

Norm = Literal["instance", "batch", "none"]
Init = Literal["normal", "xavier", "kaiming", "orthogonal"]


class ReflectionPad(nn.Module):
    """[N, C, H, W] -> [N, C, H + 2p, W + 2p]."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return reflect_pad(x, self.padding)

    def extra_repr(self) -> str:
        return str(self.padding)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Normalisation of [N, channels, H, W]; instance norm has no parameters and no state."""
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.Identity()


def uses_bias(norm: Norm) -> bool:
    """Batch norm has its own bias. (The reference drops it for "none" too: no bias at all.)"""
    return norm != "batch"


@torch.no_grad()
def init_weights(net: nn.Module, init: Init = "normal", gain: float = 0.02) -> nn.Module:
    """CycleGAN's initialisation: conv weights by `init`, biases 0, batch-norm scales N(1, gain).

    "kaiming" ignores `gain`, as in the reference.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if init == "normal":
                nn.init.normal_(module.weight, 0.0, gain)
            elif init == "xavier":
                nn.init.xavier_normal_(module.weight, gain)
            elif init == "kaiming":
                nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in")
            else:
                nn.init.orthogonal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
    return net


def in_float32(layers: nn.Module, x: Tensor) -> Tensor:
    """Run the output layers outside autocast.

    bfloat16 near +-1 has steps of half an 8-bit level: an output computed in it shows bands.
    """
    with without_autocast(x):
        return layers(at_least_float32(x))


def without_autocast(x: Tensor) -> torch.autocast:
    """Context in which every tensor keeps the dtype it has, on the device of x."""
    return torch.autocast(x.device.type, enabled=False)


def half_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast would compute in on the device of x; None outside of autocast.

    float64 stays float64, as in autocast itself.
    """
    device = x.device.type
    if x.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)
