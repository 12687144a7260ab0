"""pix2pix: image-to-image translation from pairs (Isola et al. 2017, arXiv 1611.07004).

G["ab"] translates a to b, and D["b"] scores pairs (a, b). D is updated first, and G then plays
against the updated D; both see the same G(a).
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.image_pool import ImagePool
from gantrain.losses import ADVERSARIAL, gradient_penalty, l1
from gantrain.networks.eval_mode import TestMode, statistics_kept
from gantrain.networks.layers import Downsample, Upsample, init_weights
from gantrain.networks.translation import make_discriminator, make_generator, size_multiple
from gantrain.types import AtLeastOne, Count, NotNegative, Range, Schedule, value_at


class Pix2Pix(GAN):
    """A generator, a discriminator of pairs; adversarial and L1 losses.

    Args:
        images: channels of the streams "a" and "b", resolution.
        generator, ngf, norm, dropout, upsample, downsample: see `gantrain.networks.translation`.
            Dropout is G's noise.
        blocks: residual blocks of "resnet"; None: 9 from 256 px on and 6 below.
        discriminator, d_layers, ndf, spectral_norm: see `gantrain.networks.translation`.
        init, init_gain: weight initialization, see `gantrain.networks.layers.init_weights`.
        loss: adversarial loss, see `gantrain.losses`.
        gp_weight: weight of the gradient penalty; used with "wgan_gp" only.
        lambda_adversarial, lambda_l1: weights of G's losses, constants or schedules.
        pool_size: earlier pairs (a, G(a)) that D may see again, see `ImagePool`.
        test_mode: how G is used after training, see `gantrain.networks.eval_mode`.
    """

    takes: ClassVar[Literal["unpaired", "paired", "images"]] = "paired"
    G: nn.ModuleDict
    D: nn.ModuleDict

    def __init__(
        self,
        images: ImageSpec,
        *,
        generator: Literal["resnet", "unet_64", "unet_128", "unet_256"] = "unet_256",
        blocks: Annotated[int, Range(1, 64)] | None = None,
        ngf: AtLeastOne = 64,
        discriminator: Literal["patch", "pixel"] = "patch",
        d_layers: Annotated[int, Range(1, 8)] = 3,
        ndf: AtLeastOne = 64,
        norm: Literal["instance", "batch", "none"] = "batch",
        upsample: Literal["transpose", "resize", "antialias"] = "transpose",
        downsample: Literal["strided", "antialias"] = "strided",
        spectral_norm: bool = False,
        dropout: bool = True,
        init: Literal["normal", "xavier", "kaiming", "orthogonal"] = "normal",
        init_gain: NotNegative = 0.02,
        loss: Literal["lsgan", "vanilla", "hinge", "wgan_gp"] = "vanilla",
        gp_weight: NotNegative = 10.0,
        lambda_adversarial: Annotated[Schedule, Range(0)] = 1.0,
        lambda_l1: Annotated[Schedule, Range(0)] = 100.0,
        pool_size: Count = 0,
        test_mode: Literal["as_trained", "no_dropout", "eval"] = "as_trained",
    ) -> None:
        super().__init__()
        depth = blocks or (9 if min(images.resolution) >= 256 else 6)
        a, b = images.channels["a"], images.channels["b"]
        ways: tuple[Upsample, Downsample, TestMode] = (upsample, downsample, test_mode)
        options: tuple[Downsample, bool] = (downsample, spectral_norm)
        G = make_generator(generator, a, b, ngf, depth, norm, dropout, *ways)
        D = make_discriminator(discriminator, a + b, ndf, d_layers, norm, *options)
        self.G = nn.ModuleDict({"ab": init_weights(G, init, init_gain)})
        self.D = nn.ModuleDict({"b": init_weights(D, init, init_gain)})
        self.pool = ImagePool(pool_size)
        self.size_multiple = size_multiple(generator)
        self.loss = ADVERSARIAL[loss]
        self.gp_weight = gp_weight if loss == "wgan_gp" else 0.0
        self.lambdas = {"adversarial": lambda_adversarial, "l1": lambda_l1}

    def phases(self) -> list[Phase]:
        """Return the pass of G that both players see, D's phase, and G's against the updated D."""
        return [
            Phase("fake", "G", self.translate),
            Phase("D", "D", self.discriminator_losses, prepare=self.query_pool),
            Phase("G", "G", self.generator_losses, prepare=self.weights, continues="fake"),
        ]

    def translate(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """Leave "fake" = G(a) in the batch; nothing is descended yet."""
        batch["fake"] = self.G["ab"](batch["a"])
        yield {}

    def query_pool(self, batch: Batch, step: Step) -> Batch:
        """Return "shown", the fake pairs that D sees, see `ImagePool`."""
        return {"shown": self.pool(torch.cat([batch["a"], batch["fake"].detach()], 1))}

    def weights(self, batch: Batch, step: Step) -> Batch:
        """Return "weight_<loss>", a scalar, of each loss of G whose weight is not 0."""
        weights = {name: value_at(w, step.nimg) for name, w in self.lambdas.items()}
        return {f"weight_{name}": batch["a"].new_full((), w) for name, w in weights.items() if w}

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = 1/2 [fake(D(a, G(a))) + real(D(a, b))] (+ gp_weight * penalty).

        Two passes, fake first: batch norm sees each half alone.
        """
        D, fake, real = self.D["b"], batch["shown"], torch.cat([batch["a"], batch["b"]], 1)
        losses = {  # 1/2 slows D down relative to G (section 3.3)
            "fake": 0.5 * self.loss.fake(D(fake)),
            "real": 0.5 * self.loss.real(D(real)),
        }
        if self.gp_weight > 0:
            losses["gp"] = self.gp_weight * gradient_penalty(D, real, fake)
        yield losses

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_G = w_adv adv(D(a, G(a))) + w_l1 |b - G(a)|_1 (eq. 4)."""
        a, b, fake = batch["a"], batch["b"], batch["fake"]
        if not fake.requires_grad:  # made again with the same masks
            with statistics_kept(self.G):
                fake = self.G["ab"](a)
        losses = {}
        if (weight := batch.get("weight_adversarial")) is not None:
            logits = self.D["b"](torch.cat([a, fake], 1))
            losses["adversarial"] = weight * self.loss.generator(logits)
        if (weight := batch.get("weight_l1")) is not None:
            losses["l1"] = weight * l1(b, fake)
        yield losses

    def judge_translation(self, x: Tensor, source: Tensor | None, direction: str) -> Tensor:
        """Return D's logits [N] of images with their sources, for the health probes."""
        assert source is not None
        return self.D["b"](torch.cat([source, x], 1)).flatten(1).mean(1)

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        """Return the columns real a, fake b, real b."""
        assert isinstance(G, nn.ModuleDict)
        return {"real a": batch["a"], "fake b": G["ab"](batch["a"]), "real b": batch["b"]}
