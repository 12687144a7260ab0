"""The mapping from latents and labels to w (Karras et al. 2019, arXiv 1812.04948)."""

import torch
from torch import Tensor, nn

from gantrain.networks.labels import LabelScale, NumberLabels, require_labels
from gantrain.networks.layers import without_autocast
from gantrain.networks.stylegan2.layers import FullyConnected, normalize_2nd_moment
from gantrain.ops.precision import at_least_float32

_LR_MULTIPLIER = 0.01  # the mapping network is unstable at the full learning rate (appendix C)


class LabelMapping(nn.Module):
    """Embedding of labels on which the discriminator's features are projected.

    Args:
        label_dim: entries of a label.
        dim: entries of the embedding.
        layers: depth; always 8 in the reference's discriminators.
        label_scale: see `MappingNetwork`.
    """

    def __init__(
        self, label_dim: int, dim: int, layers: int = 8, *, label_scale: LabelScale | None = None
    ) -> None:
        super().__init__()
        self.numbers = NumberLabels(label_scale, constant=True) if label_scale else nn.Identity()
        self.embed = FullyConnected(label_dim + bool(label_scale), dim)
        self.layers = layers
        _add_layers(self, dim, dim, layers)

    def forward(self, c: Tensor) -> Tensor:
        """Embed labels [N, label_dim] as [N, dim]."""
        return _run_layers(self, normalize_2nd_moment(self.embed(self.numbers(c))), self.layers)


class MappingNetwork(nn.Module):
    """Mapping network from z and labels to ws, the same w for all layers.

    The buffer `w_avg` [w_dim] is the running mean of w, towards which truncation pulls.

    Args:
        z_dim: entries of z.
        label_dim: entries of a label; 0: labels are ignored.
        w_dim: entries of w.
        num_ws: number of w that the synthesis network takes.
        layers: depth.
        w_avg_beta: decay of `w_avg`.
        label_scale: of labels that are numbers, see `NumberLabels`; None: of classes. The embedding
            is normalized, which removes the size of its input: without a constant beside it, all
            positive labels of one number would be the same.
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
        label_scale: LabelScale | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.label_dim, self.w_dim, self.num_ws = z_dim, label_dim, w_dim, num_ws
        self.layers, self.w_avg_beta = layers, w_avg_beta
        if label_dim:
            self.numbers = (
                NumberLabels(label_scale, constant=True) if label_scale else nn.Identity()
            )
            # At the full learning rate, as in the reference, unlike the layers after it.
            self.embed = FullyConnected(label_dim + bool(label_scale), w_dim)
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
        """Map z to w and truncate it: w_avg + psi (w - w_avg).

        Computed in float32 or wider, also under autocast.

        Args:
            z: [N, z_dim], any scale.
            c: labels [N, label_dim]; None if the network is unconditional.
            truncation_psi: 1 leaves w unchanged, 0 gives the mean w.
            truncation_cutoff: only the first ws are truncated; None: all of them.
            update_w_avg: moves `w_avg` towards the mean of this batch.

        Returns:
            ws [N, num_ws, w_dim].

        Raises:
            ValueError: the network is conditional and `c` is missing or has another width.
        """
        with without_autocast(z):  # small matrices, and w must not be rounded
            w = _run_layers(self, self._input(at_least_float32(z), c), self.layers)
            if update_w_avg:  # before the truncation, which would bias the mean
                self._update_w_avg(w)
            # One w per layer already here: truncation and style mixing treat layers differently.
            ws = w[:, None].repeat(1, self.num_ws, 1)
            if truncation_psi == 1:
                return ws
            truncated = self.w_avg.lerp(ws, truncation_psi)
            if truncation_cutoff is None:
                return truncated
            return torch.cat([truncated[:, :truncation_cutoff], ws[:, truncation_cutoff:]], dim=1)

    def _input(self, z: Tensor, c: Tensor | None) -> Tensor:
        if not self.label_dim:
            return normalize_2nd_moment(z)
        labels = self.embed(self.numbers(require_labels(c, self.label_dim, z)))
        # Both halves are normalized, so that neither dominates.
        return torch.cat([normalize_2nd_moment(z), normalize_2nd_moment(labels)], dim=1)

    @torch.no_grad()
    def _update_w_avg(self, w: Tensor) -> None:
        # In place: the averaging over microbatches and ranks holds on to this tensor.
        self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))


def _add_layers(module: nn.Module, in_features: int, features: int, layers: int) -> None:
    for i in range(layers):
        width = features if i else in_features
        fc = FullyConnected(width, features, "lrelu", lr_multiplier=_LR_MULTIPLIER)
        module.add_module(f"fc{i}", fc)


def _run_layers(module: nn.Module, x: Tensor, layers: int) -> Tensor:
    for i in range(layers):
        x = module.get_submodule(f"fc{i}")(x)
    return x
