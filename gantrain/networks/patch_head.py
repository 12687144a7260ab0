"""CUT's head: features of patches as unit vectors (Park et al. 2020, section 3; SimCLR's head)."""

import torch
from torch import Tensor, nn

from gantrain.networks.layers import without_autocast
from gantrain.networks.spec import self_describing
from gantrain.ops.precision import at_least_float32


@self_describing
class PatchHead(nn.Module):
    """For each layer of an encoder two linear layers with a ReLU between, then a unit vector.

    Parameter names are those of the reference's checkpoints.

    Args:
        channels: of each layer's features.
        width: of the hidden layers and of the results.
    """

    def __init__(self, channels: list[int], width: int = 256) -> None:
        super().__init__()
        for i, size in enumerate(channels):
            mlp = nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width))
            self.add_module(f"mlp_{i}", mlp)

    def forward(self, features: list[Tensor], positions: list[Tensor]) -> list[Tensor]:
        """Return rows of length 1, in float32 or wider.

        Args:
            features: of each layer, [N, C, H, W].
            positions: of each layer, int64 [P] in 0 ... H * W - 1, row by row; the same in all
                images.

        Returns:
            Of each layer, [N, P, width].
        """
        # Contrasts are divided by a small temperature: half precision would show.
        with without_autocast(features[0]):
            return [
                _unit(mlp(at_least_float32(x.flatten(2).index_select(2, chosen)).transpose(1, 2)))
                for mlp, x, chosen in zip(self.children(), features, positions, strict=True)
            ]


def _unit(x: Tensor) -> Tensor:
    """Return x / (|x| + 1e-7) along the last dimension."""
    # The gradient of a norm at 0 is taken as 0 by torch, so a dead row stays 0.
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + 1e-7)
