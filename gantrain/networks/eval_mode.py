"""Batch norm and dropout after training: as they were trained, without dropout, or as in eval mode.

pix2pix is applied as it is trained: with dropout, its only noise, and with the statistics of the
image itself, which batch norm sees in training with a batch of 1 (Isola et al. 2017, section 3.3).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# as_trained: each image's own statistics, and dropout; no_dropout: the former alone; eval: running
# statistics and no dropout, torch's eval mode.
TestMode = Literal["as_trained", "no_dropout", "eval"]


class BatchNorm(nn.BatchNorm2d):
    """torch's batch norm, which in eval mode may use the statistics of each image.

    Attributes:
        per_image: whether it does, so that other images of the batch change nothing.
    """

    per_image = False

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        if self.training or not self.per_image:
            return super().forward(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class Dropout(nn.Dropout):
    """torch's dropout, which in eval mode may go on.

    Attributes:
        seed: of the mask in eval mode; None: no dropout there. All images get the mask that an
            image gets alone, so that results depend neither on the batch nor on the order.
    """

    seed: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        if self.training or self.seed is None:
            return super().forward(x)
        # On the CPU, for the same numbers on every device.
        generator = torch.Generator().manual_seed(self.seed)
        kept = torch.rand(x.shape[1:], generator=generator) >= self.p
        return x * (kept.to(x.device) / (1 - self.p)).to(x.dtype)


def set_test_mode(network: nn.Module, mode: TestMode, seed: int = 0) -> None:
    """Set how a network's batch norms and dropouts act in eval mode.

    Args:
        network: its `BatchNorm` and `Dropout` layers are set, and its attribute `test_mode`.
        mode: see `TestMode`.
        seed: of the masks of "as_trained"; every layer draws its own.
    """
    network.test_mode = mode  # type: ignore[assignment]
    layer_seed = seed * 1000
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.per_image = mode != "eval"
        elif isinstance(module, Dropout):
            module.seed = layer_seed if mode == "as_trained" else None
            layer_seed += 1


def has_active_dropout(network: nn.Module) -> bool:
    """Return whether a network has dropout in eval mode."""
    return any(isinstance(m, Dropout) and m.seed is not None for m in network.modules())


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Leave running statistics alone in training mode, for a pass that repeats an earlier one."""
    norms = [m for m in network.modules() if isinstance(m, BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
