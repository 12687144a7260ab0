"""Latents for training: z; StyleGAN's w and style mixing (Karras et al. 2019, arXiv 1812.04948)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantrain.gans.base import Batch
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan3.generator import StyleGAN3Generator

StyleGenerator = StyleGAN2Generator | StyleGAN3Generator


def generator_of(G: nn.Module) -> StyleGenerator:
    """Return the generator of {"G": generator} or {"G": generator, "E": encoder}."""
    assert isinstance(G, nn.ModuleDict)
    generator = G["G"]
    assert isinstance(generator, StyleGenerator)
    return generator


def sample_z(count: int, z_dim: int, device: torch.device) -> Tensor:
    """Draw z ~ N(0, I), [count, z_dim]."""
    return torch.randn(count, z_dim, device=device)


def draw_cutoff(num_ws: int, mixing_prob: float) -> Batch:
    """Draw where style mixing begins: with probability `mixing_prob` at a layer from 1 on.

    As in the reference, one coin and one cutoff serve the whole batch. They are drawn on the host.

    Returns:
        {"cutoff": an integer, num_ws for no mixing}; {} if there is never any.
    """
    if mixing_prob == 0 or num_ws == 1:
        return {}
    cutoff = torch.randint(1, num_ws, ())  # the first layer keeps its own w
    return {"cutoff": torch.where(torch.rand(()) < mixing_prob, cutoff, num_ws)}


def sample_ws(G: StyleGenerator, batch: Batch, count: int, *, update_w_avg: bool = True) -> Tensor:
    """Draw ws, from the batch's "cutoff" on from a second z. Only the first mapping moves w_avg.

    Args:
        G: the generator, whose mapping network is used.
        batch: "image" [N, C, H, W] and perhaps "label" [N, label_dim] and "cutoff".
        count: number of latents, at most N; they take the first `count` labels.
        update_w_avg: whether w_avg moves.

    Returns:
        [count, num_ws, w_dim].
    """
    device, c = batch["image"].device, batch.get("label")
    # Labels of real images: D sees fakes and real images under the same distribution of labels.
    c = None if c is None else c[:count]
    ws = G.mapping(sample_z(count, G.z_dim, device), c, update_w_avg=update_w_avg)
    if "cutoff" in batch:
        # Without a branch on its value: the same operations in every step.
        other = G.mapping(sample_z(count, G.z_dim, device), c)
        keeps = torch.arange(G.num_ws, device=device) < batch["cutoff"]
        ws = torch.where(keeps[:, None], ws, other)
    return ws


def preview_columns(G: nn.Module, batch: Batch) -> Batch:
    """Return real images, their reconstructions if there is an encoder, six columns of samples.

    Args:
        G: ModuleDict with "G" and perhaps "E".
        batch: "image" [N, C, H, W] and perhaps "label" [N, label_dim], which the samples share.

    Returns:
        Columns by name, each [N, C, H, W] about [-1, 1].
    """
    real, c, generator = batch["image"], batch.get("label"), generator_of(G)

    def sample() -> Tensor:
        # Constant noise: between two grids of a run only the training makes a difference.
        z = sample_z(len(real), generator.z_dim, real.device)
        return generator.synthesis(generator.mapping(z, c), noise_mode="const")

    columns = {"real": real}
    if isinstance(G, nn.ModuleDict) and "E" in G:
        columns["G(E(real))"] = generator.synthesis(G["E"](real), noise_mode="const")
    return columns | sample_columns(sample)


def sample_columns(sample: Callable[[], Tensor]) -> Batch:
    """Return six columns for a grid, "sample 1" to "sample 6".

    Args:
        sample: () -> images [N, C, H, W] of new latents.
    """
    return {f"sample {i}": sample() for i in range(1, 7)}


def sample_images(G: nn.Module, batch: Batch) -> Tensor:
    """Return G(z, c) of new z, as many as the batch has images and with their labels.

    Args:
        G: a generator with `z_dim` and forward(z, c).
        batch: "image" [N, C, H, W] and perhaps "label" [N, label_dim].

    Returns:
        [N, C, H, W] about [-1, 1].
    """
    x = batch["image"]
    return G(sample_z(len(x), int(G.z_dim), x.device), batch.get("label"))  # pyright: ignore


def preview_samples(G: nn.Module, batch: Batch) -> Batch:
    """Return real images and six columns of `sample_images`, which share their labels."""
    return {"real": batch["image"], **sample_columns(lambda: sample_images(G, batch))}
