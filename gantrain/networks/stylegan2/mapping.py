"""From latents and labels to w (Karras et al. 2019, "A style-based generator architecture")."""

import torch
from torch import Tensor, nn

from gantrain.networks.layers import without_autocast
from gantrain.networks.stylegan2.layers import FullyConnected, normalize_2nd_moment
from gantrain.ops.precision import at_least_float32

_LR_MULTIPLIER = 0.01


class LabelMapping(nn.Module):
    """Labels [N, label_dim] -> [N, dim], what the discriminator's features are projected on.

    Always `layers` = 8 deep in the reference's discriminators.
    """

    def __init__(self, label_dim: int, dim: int, layers: int = 8) -> None:
        super().__init__()
        self.embed = FullyConnected(label_dim, dim)
        self.layers = layers
        _add_layers(self, dim, dim, layers)

    def forward(self, c: Tensor) -> Tensor:
        return _run_layers(self, normalize_2nd_moment(self.embed(c)), self.layers)


class MappingNetwork(nn.Module):
    """z [N, z_dim] and labels c [N, label_dim] -> ws [N, num_ws, w_dim], the same w for all layers.

    `w_avg` is the running mean of w, towards which truncation pulls.

    Args:
        label_dim: 0: no labels, c is ignored.
        num_ws: how many w the synthesis network takes.
        layers: depth.
        w_avg_beta: how much of `w_avg` an update keeps.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        label_dim: int,
        w_dim: int,
        *,
        num_ws: int,
        layers: int = 8,
        w_avg_beta: float = 0.995,
    ) -> None:
        super().__init__()
        self.z_dim, self.label_dim, self.w_dim, self.num_ws = z_dim, label_dim, w_dim, num_ws
        self.layers, self.w_avg_beta = layers, w_avg_beta
        if label_dim:
            self.embed = FullyConnected(label_dim, w_dim)
        _add_layers(self, z_dim + (w_dim if label_dim else 0), w_dim, layers)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_w_avg: bool = False,
    ) -> Tensor:
        """ws = w_avg + psi (w - w_avg) for the first `truncation_cutoff` (None: all) ws.

        Always in full precision.

        Raises:
            ValueError: the network is conditional and there is no c.
        """
        with without_autocast(z):
            w = _run_layers(self, self._input(at_least_float32(z), c), self.layers)
            if update_w_avg:
                self._update(w)
            ws = w[:, None].repeat(1, self.num_ws, 1)
            if truncation_psi == 1:
                return ws
            near = self.w_avg.lerp(ws, truncation_psi)
            if truncation_cutoff is None:
                return near
            return torch.cat([near[:, :truncation_cutoff], ws[:, truncation_cutoff:]], dim=1)

    def _input(self, z: Tensor, c: Tensor | None) -> Tensor:
        if not self.label_dim:
            return normalize_2nd_moment(z)
        labels = require_labels(c, self.label_dim, z)
        return torch.cat([normalize_2nd_moment(z), normalize_2nd_moment(self.embed(labels))], dim=1)

    @torch.no_grad()
    def _update(self, w: Tensor) -> None:
        self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))


def require_labels(c: Tensor | None, label_dim: int, like: Tensor) -> Tensor:
    """The labels in the dtype of `like`; ValueError if there are none of that width."""
    if c is None or c.ndim != 2 or c.shape[1] != label_dim:
        given = "none" if c is None else f"shape {list(c.shape)}"
        raise ValueError(f"this network wants labels of shape [N, {label_dim}], not {given}")
    return c.to(like.dtype)


def _add_layers(module: nn.Module, in_features: int, features: int, layers: int) -> None:
    for i in range(layers):
        width = features if i else in_features
        fc = FullyConnected(width, features, "lrelu", lr_multiplier=_LR_MULTIPLIER)
        module.add_module(f"fc{i}", fc)


def _run_layers(module: nn.Module, x: Tensor, layers: int) -> Tensor:
    for i in range(layers):
        x = module.get_submodule(f"fc{i}")(x)
    return x
