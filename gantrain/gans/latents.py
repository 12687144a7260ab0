"""Latents for StyleGAN's training: z, w, and two w's mixed (Karras et al. 2019, 1812.04948)."""

import torch
from torch import Tensor, nn

from gantrain.gans.base import Batch
from gantrain.networks.stylegan2.generator import StyleGAN2Generator


def generator_of(G: nn.Module) -> StyleGAN2Generator:
    """The generator beside a possible encoder."""
    assert isinstance(G, nn.ModuleDict)
    generator = G["G"]
    assert isinstance(generator, StyleGAN2Generator)
    return generator


def sample_z(count: int, z_dim: int, device: torch.device) -> Tensor:
    """N(0, I), [count, z_dim]."""
    return torch.randn(count, z_dim, device=device)


def sample_ws(G: StyleGAN2Generator, batch: Batch, count: int, mixing_prob: float) -> Tensor:
    """[count, num_ws, w_dim]; with probability `mixing_prob` those of other z from some layer on.

    The labels are the batch's first. One coin and one layer serve all, as in the reference, drawn
    on the host. The first mapping moves w_avg, the second does not.
    """
    device, c = batch["image"].device, batch.get("label")
    c = None if c is None else c[:count]
    ws = G.mapping(sample_z(count, G.z_dim, device), c, update_w_avg=True)
    if mixing_prob > 0 and G.num_ws > 1:
        cutoff = int(torch.randint(1, G.num_ws, ()))
        if torch.rand(()) < mixing_prob:
            other = G.mapping(sample_z(count, G.z_dim, device), c)
            ws = torch.cat([ws[:, :cutoff], other[:, cutoff:]], dim=1)
    return ws


def preview_columns(G: nn.Module, batch: Batch) -> Batch:
    """The real pictures, their way through E and back if there is an E, six columns of samples.

    Args:
        batch: "image" [N, C, H, W] and perhaps "label" [N, label_dim], which the samples share.
    """
    real, c, generator = batch["image"], batch.get("label"), generator_of(G)
    columns = {"real": real}
    if isinstance(G, nn.ModuleDict) and "E" in G:
        columns["G(E(real))"] = generator.synthesis(G["E"](real), noise_mode="const")
    for i in range(1, 7):
        ws = generator.mapping(sample_z(len(real), generator.z_dim, real.device), c)
        columns[f"sample {i}"] = generator.synthesis(ws, noise_mode="const")
    return columns
