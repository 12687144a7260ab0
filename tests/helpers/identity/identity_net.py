"""A network that does nothing, to see what happens around it."""

import os

import torch
from torch import Tensor, nn

from gantrain.networks.spec import self_describing


@self_describing
class Identity(nn.Module):
    size_multiple = 8

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        # For a test of what happens without memory: the side, rounded up, that is too large.
        if str(x.shape[2]) == os.environ.get("TOO_LARGE"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        assert x.shape[2] % 8 == 0 and x.shape[3] % 8 == 0
        return x
