"""Spectral normalization of convolutions (Miyato et al. 2018, arXiv 1802.05957)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.networks.layers import without_autocast
from gantrain.ops.precision import at_least_float32


class SpectralConv2d(nn.Conv2d):
    """A convolution with W / sigma(W), sigma the largest singular value of W [out, in * kh * kw].

    Parameters have the names of a plain convolution, so that weights of either fit the other. In
    training mode, every forward pass makes one step of the power iteration. That depends on the
    weights alone: microbatches and ranks make the same ones.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, bias: see `torch.nn.Conv2d`.

    Attributes:
        u: [out_channels], the left singular vector as found so far.
    """

    u: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        self.register_buffer("u", F.normalize(torch.randn(out_channels), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H', W']."""
        with without_autocast(x):  # sigma divides all weights: it is never half precision
            weight = self.weight / self._sigma()
        return self._conv_forward(x, weight, self.bias)

    def _sigma(self) -> Tensor:
        """Return sigma = u^T W v, differentiable in W; u and v count as constants."""
        matrix = at_least_float32(self.weight.flatten(1))
        with torch.no_grad():
            v = F.normalize(matrix.t() @ self.u, dim=0)
            if self.training:
                self.u.copy_(F.normalize(matrix @ v, dim=0))
                v = F.normalize(matrix.t() @ self.u, dim=0)
            u = self.u.clone()  # a later pass changes it before this one's backward pass
        return u @ (matrix @ v)


def make_conv(spectral: bool, *args: int, bias: bool = True) -> nn.Conv2d:
    """Return a convolution, with spectral normalization or without.

    Args:
        spectral: whether its weight is divided by its largest singular value.
        args: channels of input and output, kernel size, stride, padding.
        bias: whether it has a bias.
    """
    kind = SpectralConv2d if spectral else nn.Conv2d
    return kind(*args, bias=bias)  # type: ignore[arg-type]
