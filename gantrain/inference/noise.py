"""Per-pixel noise by seed, in place of the stored noise of a generator."""

import torch
from torch import Tensor, nn


def with_noise(network: nn.Module, w: Tensor, seed: int) -> Tensor:
    """Return one image with noise of its seed in place of the stored noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = {
        name: torch.randn(buffer.shape, generator=generator).to(buffer)
        for name, buffer in network.named_buffers()
        if name.endswith("noise_const")
    }
    return torch.func.functional_call(network, noise, (w,), {"noise_mode": "const"})
