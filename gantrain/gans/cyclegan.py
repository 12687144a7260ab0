"""CycleGAN: unpaired image-to-image translation (Zhu et al. 2017, arXiv 1703.10593).

G["ab"] translates domain a to b and G["ba"] back (the paper's G and F); D["b"] scores images of
domain b (D_Y), D["a"] those of a (D_X). D sees the fakes that G made before G's step.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.image_pool import ImagePool
from gantrain.losses import ADVERSARIAL, gradient_penalty, l1
from gantrain.networks.layers import Downsample, Upsample, init_weights
from gantrain.networks.translation import make_discriminator, make_generator, size_multiple
from gantrain.types import AtLeastOne, Count, NotNegative, Range, Schedule, value_at


class CycleGAN(GAN):
    """Two generators, two discriminators; adversarial, cycle and identity losses.

    Args:
        images: channels of the streams "a" and "b", resolution.
        generator, ngf, norm, dropout, upsample, downsample: see `gantrain.networks.translation`.
        blocks: residual blocks of the generator; None: 9 from 256 px on and 6 below, as in the
            paper.
        discriminator, d_layers, ndf, spectral_norm: see `gantrain.networks.translation`.
        init, init_gain: weight initialization, see `gantrain.networks.layers.init_weights`.
        loss: adversarial loss, see `gantrain.losses`.
        gp_weight: weight of the gradient penalty; used with "wgan_gp" only.
        lambda_adversarial, lambda_cycle: weights of these losses, constants or schedules.
        lambda_identity: weight of the identity loss relative to lambda_cycle, as in the reference.
        pool_size: earlier fakes that each discriminator may see again, see `ImagePool`.
        adversarial_kimg: two-stage training: thousands of images with the adversarial loss alone.
        mode: "fast" batches passes where the result is the same; "reference" runs each separately.
    """

    G: nn.ModuleDict
    D: nn.ModuleDict

    def __init__(
        self,
        images: ImageSpec,
        *,
        generator: Literal["resnet", "unet_64", "unet_128", "unet_256"] = "resnet",
        blocks: Annotated[int, Range(1, 64)] | None = None,
        ngf: AtLeastOne = 64,
        discriminator: Literal["patch", "pixel"] = "patch",
        d_layers: Annotated[int, Range(1, 8)] = 3,
        ndf: AtLeastOne = 64,
        norm: Literal["instance", "batch", "none"] = "instance",
        dropout: bool = False,
        upsample: Literal["transpose", "resize", "antialias"] = "transpose",
        downsample: Literal["strided", "antialias"] = "strided",
        spectral_norm: bool = False,
        init: Literal["normal", "xavier", "kaiming", "orthogonal"] = "normal",
        init_gain: NotNegative = 0.02,
        loss: Literal["lsgan", "vanilla", "hinge", "wgan_gp"] = "lsgan",
        gp_weight: NotNegative = 10.0,
        lambda_adversarial: Annotated[Schedule, Range(0)] = 1.0,
        lambda_cycle: Annotated[Schedule, Range(0)] = 10.0,
        lambda_identity: Annotated[Schedule, Range(0)] = 0.5,
        pool_size: Count = 50,
        adversarial_kimg: NotNegative = 0,
        mode: Literal["fast", "reference"] = "fast",
    ) -> None:
        super().__init__()
        depth = blocks or (9 if min(images.resolution) >= 256 else 6)
        ch = images.channels
        ways: tuple[Upsample, Downsample] = (upsample, downsample)
        options: tuple[Downsample, bool] = (downsample, spectral_norm)

        def generator_for(src: str, dst: str) -> nn.Module:
            net = make_generator(generator, ch[src], ch[dst], ngf, depth, norm, dropout, *ways)
            return init_weights(net, init, init_gain)

        def discriminator_for(domain: str) -> nn.Module:
            net = make_discriminator(discriminator, ch[domain], ndf, d_layers, norm, *options)
            return init_weights(net, init, init_gain)

        self.G = nn.ModuleDict({"ab": generator_for("a", "b"), "ba": generator_for("b", "a")})
        self.D = nn.ModuleDict({"a": discriminator_for("a"), "b": discriminator_for("b")})
        self.pool = nn.ModuleDict({"a": ImagePool(pool_size), "b": ImagePool(pool_size)})
        self.size_multiple = size_multiple(generator)
        self.loss = ADVERSARIAL[loss]
        self.gp_weight = gp_weight if loss == "wgan_gp" else 0.0
        self.lambda_adversarial, self.lambda_cycle = lambda_adversarial, lambda_cycle
        self.lambda_identity = lambda_identity
        self.adversarial_nimg = round(adversarial_kimg * 1000)
        # Batch norm mixes the images of a batch, so only per-image norms allow batched passes.
        self.batched = mode == "fast" and norm != "batch"

    def phases(self) -> list[Phase]:
        """Return G's phase, then D's on the fakes that G has left in the batch."""
        return [
            Phase("G", "G", self.generator_losses, prepare=self.prepare_weights),
            Phase("D", "D", self.discriminator_losses, prepare=self.query_pools),
        ]

    def weights(self, nimg: int) -> dict[str, float]:
        """Return the weights after `nimg` images; that of identity includes lambda_cycle."""
        # No cycle, and hence no identity, during the first of two stages.
        cycle = value_at(self.lambda_cycle, nimg) * (nimg >= self.adversarial_nimg)
        identity = cycle * value_at(self.lambda_identity, nimg)
        adversarial = value_at(self.lambda_adversarial, nimg)
        return {"adversarial": adversarial, "cycle": cycle, "identity": identity}

    def prepare_weights(self, batch: Batch, step: Step) -> Batch:
        """Return "weight_<loss>", a scalar, of each loss whose weight is not 0."""
        weights = self.weights(step.nimg).items()
        return {f"weight_{name}": batch["a"].new_full((), w) for name, w in weights if w > 0}

    def query_pools(self, batch: Batch, step: Step) -> Batch:
        """Return "shown_b" and "shown_a", the fakes that D sees, see `ImagePool`."""
        # The fakes are those of this step's G phase, before G was updated.
        return {f"shown_{d}": self.pool[d](batch[f"fake_{d}"]) for d in ("b", "a")}

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """Yield the weighted losses of both generators.

        L_G = w_adv [adv(D_b(G_ab(a))) + adv(D_a(G_ba(b)))]            (paper, eq. 1)
        + w_cyc [|G_ba(G_ab(a)) - a|_1 + |G_ab(G_ba(b)) - b|_1]        (eq. 2)
        + w_idt [|G_ba(a) - a|_1 + |G_ab(b) - b|_1]                    (section 5.2)
        """
        names = ("adversarial", "cycle", "identity")
        adversarial, cycle, identity = (batch.get(f"weight_{name}") for name in names)
        # Translations whose losses have no weight are not computed at all.
        images = self.translate(self.G, batch, cycle is not None, identity is not None)
        losses = {}
        for domain in ("b", "a"):
            fake, real = images[f"fake_{domain}"], batch[domain]
            batch[f"fake_{domain}"] = fake.detach()  # for D's phase of this step
            if adversarial is not None:
                game = self.loss.generator(self.D[domain](fake))
                losses[f"adversarial_{domain}"] = adversarial * game
            if cycle is not None:
                losses[f"cycle_{domain}"] = cycle * l1(images[f"cycle_{domain}"], real)
            if identity is not None:
                losses[f"identity_{domain}"] = identity * l1(images[f"identity_{domain}"], real)
        yield losses

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = 1/2 [real(D(x)) + fake(D(pool(G(y))))] (+ gp_weight * penalty), for each domain."""
        for domain in ("b", "a"):
            D, real, fake = self.D[domain], batch[domain], batch[f"shown_{domain}"]
            if self.batched and real.shape == fake.shape:
                real_logits, fake_logits = D(torch.cat([real, fake])).chunk(2)
            else:
                real_logits, fake_logits = D(real), D(fake)
            adversarial = self.loss.real(real_logits) + self.loss.fake(fake_logits)
            losses = {domain: 0.5 * adversarial}  # slows D down relative to G (section 7.1)
            if self.gp_weight > 0:
                losses[f"gp_{domain}"] = self.gp_weight * gradient_penalty(D, real, fake)
            # One backward pass per domain: the graph of one D is freed before the next is built.
            yield losses

    def translate(self, G: nn.ModuleDict, batch: Batch, cycle: bool, identity: bool) -> Batch:
        """Translate both domains of a batch.

        Args:
            G: {"ab": generator, "ba": generator}.
            batch: "a" and "b", each [N, C, H, W] in [-1, 1].
            cycle: also translate the fakes back.
            identity: also pass each generator images of its target domain.

        Returns:
            fake_b = G_ab(a), cycle_a = G_ba(G_ab(a)), identity_b = G_ab(b) and the same with a and
            b exchanged, each [N, C, H, W] in [-1, 1].
        """
        out: Batch = {}
        for src, dst in (("a", "b"), ("b", "a")):
            generator, source, target = G[src + dst], batch[src], batch[dst]
            # One pass over both inputs; per-image norms keep their results independent.
            if identity and self.batched and source.shape == target.shape:
                both = generator(torch.cat([source, target]))
                out[f"fake_{dst}"], out[f"identity_{dst}"] = both.chunk(2)
            else:
                out[f"fake_{dst}"] = generator(source)
                if identity:
                    out[f"identity_{dst}"] = generator(target)
        if cycle:
            out["cycle_a"], out["cycle_b"] = G["ba"](out["fake_b"]), G["ab"](out["fake_a"])
        return out

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        """Return the columns real a, fake b, cycle a, identity a, then the same from b.

        Identity needs domains with the same number of channels and is left out otherwise.
        """
        assert isinstance(G, nn.ModuleDict)
        same_channels = batch["a"].shape[1] == batch["b"].shape[1]
        images = self.translate(G, batch, cycle=True, identity=same_channels)
        columns: Batch = {}
        for src, dst in ("ab", "ba"):
            columns[f"real {src}"] = batch[src]
            names = (f"fake_{dst}", f"cycle_{src}", f"identity_{src}")
            columns |= {name.replace("_", " "): images[name] for name in names if name in images}
        return columns
