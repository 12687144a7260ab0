"""A GAN from outside the package: one class, its network, and one YAML beside it."""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor, nn

from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.losses import ADVERSARIAL
from gantrain.networks.spec import self_describing
from gantrain.types import Range


@self_describing
class NoiseGenerator(nn.Module):
    """z [N, z_dim] -> image [N, channels, side, side] in [-1, 1]."""

    def __init__(self, z_dim: int, channels: int, side: int) -> None:
        super().__init__()
        self.shape = (channels, side, side)
        self.net = nn.Linear(z_dim, channels * side * side)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).tanh().view(-1, *self.shape)


class StripedGAN(GAN):
    """min_G max_D of the vanilla loss on domain b alone."""

    def __init__(self, images: ImageSpec, *, z_dim: Annotated[int, Range(1)] = 8) -> None:
        super().__init__()
        channels, (side, _) = images.channels["b"], images.resolution
        self.z_dim = z_dim
        self.G = NoiseGenerator(z_dim, channels, side)
        self.D = nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, 1))
        self.register_buffer("steps", torch.zeros(()))
        self.loss = ADVERSARIAL["vanilla"]

    def phases(self) -> list[Phase]:
        return [
            Phase("D", "D", self.discriminator_losses),
            Phase("G", "G", self.generator_losses, 2),
        ]

    def sample(self, batch: Batch) -> Tensor:
        return self.G(torch.randn(len(batch["b"]), self.z_dim, device=batch["b"].device))

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        self.steps += 1
        yield {"real": self.loss.real(self.D(batch["b"]))}
        yield {"fake": self.loss.fake(self.D(self.sample(batch).detach()))}

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"adversarial": self.loss.generator(self.D(self.sample(batch)))}

    def preview(self, G: nn.Module, batch: Batch) -> dict[str, Tensor]:
        z = torch.randn(len(batch["b"]), self.z_dim, device=batch["b"].device)
        return {"real": batch["b"], "fake": G(z)}
