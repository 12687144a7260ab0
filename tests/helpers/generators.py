"""Snapshots of tiny untrained generators."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from gantrain.networks.dcgan import DCGANGenerator
from gantrain.networks.r3gan import R3GANGenerator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.spec import spec_of
from gantrain.networks.stylegan2.encoder import StyleGAN2Encoder
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan3.generator import Config, StyleGAN3Generator
from gantrain.snapshot import save_snapshot

ANIMALS = {"dim": 3, "kind": "class", "names": ["cat", "dog", "fox"]}


def write(run: Path, model: str, networks: dict[str, nn.Module], **data: Any) -> Path:
    """Save as the run's newest snapshot and return the run directory."""
    path = run / "snapshots" / "snapshot-000012.500.pt"
    meta = {"nimg": 12500, "ema": True, "model": {"_target_": model}, "data": data}
    save_snapshot(path, networks, {k: spec_of(net) for k, net in networks.items()}, meta)
    return run


def stylegan(
    run: Path, labels: dict[str, Any] | None = None, channels: int = 3, *, encoder: bool = False
) -> Path:
    """16 x 16 pixels, 6 layers; with noise that shows and a mean w, as after training."""
    torch.manual_seed(0)
    dim = labels["dim"] if labels else 0
    sizes = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
    generator = StyleGAN2Generator([16, 16], channels, dim, **sizes)
    for name, weight in generator.named_parameters():
        if name.endswith("noise_strength"):
            weight.data.fill_(0.3)
    generator.mapping(torch.randn(64, 16), torch.rand(64, dim), update_w_avg=True)
    generator.mapping.w_avg.mul_(50)
    networks: dict[str, nn.Module] = {"G": generator}
    if encoder:
        width = {"channel_base": 256, "channel_max": 16}
        networks["E"] = StyleGAN2Encoder([16, 16], channels, num_ws=6, w_dim=16, **width)
    return write(run, "gantrain.gans.stylegan.StyleGAN", networks, labels=labels)


def stylegan3(run: Path, labels: dict[str, Any] | None = None, config: Config = "t") -> Path:
    """32 x 32 pixels; magnitudes as after training, a mean w, contrast, and a pose that w gives."""
    torch.manual_seed(0)
    dim = labels["dim"] if labels else 0
    sizes = {"z_dim": 16, "w_dim": 16, "channel_base": 256, "channel_max": 12}
    generator = StyleGAN3Generator([32, 32], 3, dim, config=config, magnitude_beta=0.0, **sizes)
    ws = generator.mapping(torch.randn(64, 16), torch.rand(64, dim), update_w_avg=True)
    generator.mapping.w_avg.mul_(50)
    generator.synthesis(ws, update_magnitudes=True)
    generator.synthesis.input.affine.weight.data.normal_().mul_(0.1)
    generator.synthesis.get_parameter("L14_32_3.weight").data.mul_(4)
    networks: dict[str, nn.Module] = {"G": generator}
    return write(run, "gantrain.gans.stylegan3.StyleGAN3", networks, labels=labels)


def dcgan(run: Path, labels: dict[str, Any] | None = None, channels: int = 3) -> Path:
    torch.manual_seed(0)
    dim = labels["dim"] if labels else 0
    generator = DCGANGenerator([8, 12], channels, dim, z_dim=4, width=8)
    for weight in generator.parameters():
        weight.data *= 15 if weight.ndim > 1 else 1  # new, it makes pictures of one grey
    return write(run, "gantrain.gans.dcgan.DCGAN", {"G": generator}, labels=labels)


def r3gan(
    run: Path, labels: dict[str, Any] | None = None, channels: int = 3, *, doublings: int = 1
) -> Path:
    """8 x 12 pixels at one doubling."""
    torch.manual_seed(0)
    dim, stages = labels["dim"] if labels else 0, doublings + 1
    sizes = {"widths": [8] * stages, "blocks": [1] * stages, "group_width": 8}
    resolution = [4 * 2**doublings, 6 * 2**doublings]
    generator = R3GANGenerator(resolution, channels, dim, z_dim=4, **sizes)
    return write(run, "gantrain.gans.r3gan.R3GAN", {"G": generator}, labels=labels)


def cyclegan(run: Path) -> Path:
    networks = {name: ResnetGenerator(1, 1, ngf=2, blocks=1) for name in ("ab", "ba")}
    return write(run, "gantrain.gans.cyclegan.CycleGAN", dict(networks))
