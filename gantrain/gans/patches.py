"""CUT's contrast of patches: which layers and places are compared, and how (see `losses`)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError, counted
from gantrain.gans.base import ImageSpec
from gantrain.losses import patch_nce
from gantrain.networks.resnet import ResnetGenerator

Shape = tuple[int, int, int]  # C, H, W


def check_channels(images: ImageSpec) -> int:
    """Return the channels of both domains.

    Raises:
        ConfigError: they differ.
    """
    a, b = images.channels["a"], images.channels["b"]
    if a != b:
        raise ConfigError(
            "CUT's generator also encodes its own translations, but images of domain a have "
            f"{counted(a, 'channel')} and those of b {b}: make them equal by data.channels_a and "
            "data.channels_b, or use model=cyclegan model.lambda_identity=0."
        )
    return a


def choose_layers(wanted: list[int] | None, G: ResnetGenerator) -> list[int]:
    """Return the layers whose features are compared, ascending.

    Args:
        wanted: indices in `G.model`; None: those of `ResnetGenerator.encoder_layers`.
        G: the generator.

    Raises:
        ConfigError: there is none, no such layer, or it belongs to the output.
    """
    if wanted == []:
        raise ConfigError(
            "model.nce_layers=[] names no layer: add model.nce_layers=null for the usual ones, or "
            "model.lambda_nce=0 to train without PatchNCE."
        )
    layers = sorted(set(wanted or G.encoder_layers()))
    last = len(G.model) - 4  # behind it are the padding, the last convolution and the tanh
    if layers[-1] > last:
        raise ConfigError(
            f"model.nce_layers={wanted} names layer {layers[-1]}, but the layers in front of the "
            f"generator's output are 0 to {last}: add model.nce_layers=null for the usual ones, "
            f"{G.encoder_layers()}."
        )
    return layers


@dataclass(frozen=True)
class PatchContrast:
    """The mean of PatchNCE over the patches of all layers (Park et al. 2020, eq. 4).

    Args:
        most: places compared in a layer, at most; the same in all images of a batch.
        temperature: see `patch_nce`.
        all_negatives: whether the patches of all images are contrasted, and not those of each.
    """

    most: int
    temperature: float
    all_negatives: bool

    def draw(self, shapes: Iterable[Shape], random: torch.Generator) -> Tensor:
        """Return random places without repetition, layer by layer in one tensor.

        Args:
            shapes: of the layers' features.
            random: a generator on the CPU.

        Returns:
            int64 [sum of min(most, H * W)], in 0 ... H * W - 1, row by row.
        """
        orders = [torch.randperm(h * w, generator=random) for _, h, w in shapes]
        return torch.cat([order[: self.most] for order in orders])

    def loss(
        self, F: nn.Module, queries: list[Tensor], keys: list[Tensor], places: Tensor
    ) -> Tensor:
        """Return a scalar.

        Args:
            F: the head, see `gantrain.networks.patch_head`.
            queries: features of the translations, [N, C, H, W] of each layer.
            keys: those of the inputs, of the same shapes. No gradient reaches them.
            places: from `draw`.
        """
        chosen = list(places.split([min(self.most, x.shape[2] * x.shape[3]) for x in queries]))
        rows = F(queries, chosen)
        with torch.no_grad():
            own = F(keys, chosen)
        if self.all_negatives:  # as if they were one image
            rows, own = ([x.flatten(0, 1)[None] for x in each] for each in (rows, own))
        losses = [patch_nce(q, k, self.temperature) for q, k in zip(rows, own, strict=True)]
        return torch.stack([x.mean() for x in losses]).mean()


def of_each(
    images: list[Tensor], function: Callable[[Tensor], list[Tensor]], batched: bool
) -> list[list[Tensor]]:
    """Return a function's results for each of several batches of images.

    Args:
        images: each [N, C, H, W].
        function: [N, C, H, W] -> tensors [N, ...].
        batched: whether one pass over all of them gives the same; it needs equal shapes.
    """
    if not batched or any(x.shape != images[0].shape for x in images):
        return [function(x) for x in images]
    results = function(torch.cat(images))
    return [list(parts) for parts in zip(*(x.chunk(len(images)) for x in results), strict=True)]
