"""DCGAN: a plain convolutional GAN (Radford, Metz & Chintala 2016, arXiv 1511.06434)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.latents import preview_samples, sample_images
from gantrain.losses import ADVERSARIAL
from gantrain.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from gantrain.types import AtLeastOne, Range


class DCGAN(GAN):
    """min_G max_D E[log D(x)] + E[log(1 - D(G(z)))], with the non-saturating G; z ~ N(0, 1).

    Args:
        z_dim: entries of the latent vector z.
        g_width: channels of the generator's first feature maps (halved twice on the way up).
        d_width: channels of the discriminator's first layer (doubled twice).
        dropout: dropout probability in every layer of the discriminator.
        loss: adversarial loss, see `gantrain.losses`.

    Raises:
        ConfigError: a side is below 8 pixels, or batch norm would see one value per channel.
    """

    takes: ClassVar[Literal["unpaired", "images"]] = "images"
    size_multiple = 4

    def __init__(
        self,
        images: ImageSpec,
        *,
        z_dim: AtLeastOne = 100,
        g_width: Annotated[int, Range(4)] = 512,
        d_width: AtLeastOne = 64,
        dropout: Annotated[float, Range(0, 1, open_high=True)] = 0.25,
        loss: Literal["vanilla", "lsgan", "hinge"] = "vanilla",
    ) -> None:
        super().__init__()
        if min(images.resolution) < 8:
            raise ConfigError(f"DCGAN needs images of at least 8 pixels, not {images.resolution}.")
        if (images.microbatch or images.batch) == 1 and images.resolution == (8, 8):
            raise ConfigError(
                "DCGAN's batch norm cannot train on single images of 8 x 8 pixels, of which its "
                "last layer sees one value: use 2 or more images per forward pass "
                "(train.microbatch, or train.batch by the number of processes), or "
                "data.resolution=16."
            )
        shape = images.of_networks
        self.G = DCGANGenerator(*shape, z_dim=z_dim, width=g_width)
        self.D = DCGANDiscriminator(*shape, width=d_width, dropout=dropout)
        self.loss = ADVERSARIAL[loss]  # D returns logits: the sigmoid is part of the loss

    def phases(self) -> list[Phase]:
        """Return D's phase, then G's: one step of each, as in the paper."""
        return [
            Phase("D", "D", self.discriminator_losses),
            Phase("G", "G", self.generator_losses),
        ]

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = BCE(D(x), 1) + BCE(D(G(z)), 0)."""
        c = batch.get("label")
        with torch.no_grad():  # G is not updated in this phase
            fake = sample_images(self.G, batch)
        # Separate passes: batch norm must not mix the statistics of real and fake images.
        yield {
            "real": self.loss.real(self.D(batch["image"], c)),
            "fake": self.loss.fake(self.D(fake, c)),
        }

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_G = BCE(D(G(z)), 1)."""
        fake = sample_images(self.G, batch)  # new z, not those of D's phase
        yield {"adversarial": self.loss.generator(self.D(fake, batch.get("label")))}

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        """Return the columns of `preview_samples`."""
        return preview_samples(G, batch)
