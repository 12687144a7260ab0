"""Labels that are numbers, at the scale that networks take."""

from typing import TypeAlias

import torch
from torch import Tensor, nn

LabelScale: TypeAlias = list[list[float]]  # [means, standard deviations], one per entry


class NumberLabels(nn.Module):
    """(c - mean) / deviation, per entry of the label, and perhaps a constant 1 after them.

    The statistics are saved with the weights, which only make sense with them: a run that is
    resumed with other images keeps those that it began with.

    Args:
        scale: of the training images.
        constant: whether the 1 is appended.
    """

    constant_buffers = ("mean", "deviation")

    def __init__(self, scale: LabelScale, *, constant: bool) -> None:
        super().__init__()
        mean, deviation = scale
        self.constant = constant
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def forward(self, c: Tensor) -> Tensor:
        """Labels [N, label_dim] -> [N, label_dim], or [N, label_dim + 1] with the constant."""
        x = (c - self.mean.to(c.dtype)) / self.deviation.to(c.dtype)  # type: ignore[operator]
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=1) if self.constant else x


def require_labels(c: Tensor | None, label_dim: int, like: Tensor) -> Tensor:
    """Return the labels in the dtype of `like`.

    Args:
        c: [N, label_dim] of any dtype, or None.
        label_dim: entries of a label.
        like: a tensor of the dtype that the network computes in.

    Raises:
        ValueError: the labels are missing or not [N, label_dim].
    """
    if c is None or c.ndim != 2 or c.shape[1] != label_dim:
        actual = "none" if c is None else f"shape {list(c.shape)}"
        raise ValueError(f"this network needs labels of shape [N, {label_dim}], not {actual}")
    return c.to(like.dtype)
