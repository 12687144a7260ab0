"""StyleGAN2 with adaptive augmentation (Karras et al. 2020, arXiv 1912.04958 and 2006.06676).

z ~ N(0, I), w = mapping(z, c), G(w) = synthesis(w); A: the augmentation D sees its images through.
The formulas are those of loss="vanilla"; the others are in `gantrain.losses`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from math import sqrt
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gantrain.augment.pipe import Spec
from gantrain.gans.adversary import Adversary, augmentation
from gantrain.gans.base import GAN, Batch, ImageSpec, LazyPenalty, Phase, Step
from gantrain.gans.latent_cycle import LatentCycle
from gantrain.gans.latents import draw_cutoff, generator_of, preview_columns, sample_ws
from gantrain.losses import ADVERSARIAL, gradient_penalty, path_lengths
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.types import AtLeastOne, Count, NotNegative, Positive, Range, Share

GP_WEIGHT = 10  # of the gradient penalty of loss="wgan_gp" (Gulrajani et al. 2017)
PL_DECAY = 0.01  # how far one step moves the running mean of the path lengths


class StyleGAN(GAN):
    """StyleGAN2-ADA on single images; a fake takes the label of a real image of the batch.

    Args:
        z_dim, w_dim, mapping_layers, channel_base, channel_max, g_architecture, d_architecture: see
            `StyleGAN2Generator`; channel_base None: 16384 below 512 px, else 32768.
        noise: per-pixel noise of the generator in training.
        mbstd_group: images that share one minibatch standard deviation; None: at most 4.
        freeze_d: number of D's first layers that are not trained.
        loss: adversarial loss; "wgan_gp" adds a gradient penalty to every step of D.
        style_mixing_prob: probability that a batch mixes the w of two z.
        r1_gamma, pl_weight: weights of R1 and the path length penalty; r1_gamma None:
            0.0002 * side^2 / batch, or 0 with "wgan_gp". Steps between two: *_interval.
        augment: "ada" adapts the probability p from `augment_p` on, "fixed" keeps it there.
        augment_p: None: 0.
        augment_spec: the transforms, see `gantrain.augment.pipe`.
        ada_target, ada_kimg, ada_max_p: see `gantrain.augment.ada`.
        adversarial_kimg, lambda_latent, lambda_image: see `LatentCycle`.
    """

    takes: ClassVar[Literal["unpaired", "images"]] = "images"
    pl_mean: Tensor

    def __init__(
        self,
        images: ImageSpec,
        *,
        z_dim: AtLeastOne = 512,
        w_dim: AtLeastOne = 512,
        mapping_layers: AtLeastOne = 2,
        channel_base: AtLeastOne | None = None,
        channel_max: AtLeastOne = 512,
        g_architecture: Literal["skip", "resnet", "orig"] = "skip",
        d_architecture: Literal["resnet", "skip", "orig"] = "resnet",
        noise: Literal["random", "none"] = "random",
        mbstd_group: AtLeastOne | None = None,
        freeze_d: Count = 0,
        loss: Literal["vanilla", "hinge", "wgan_gp", "lsgan"] = "vanilla",
        style_mixing_prob: Share = 0.9,
        r1_gamma: NotNegative | None = None,
        r1_interval: AtLeastOne = 16,
        pl_weight: NotNegative = 2.0,
        pl_interval: AtLeastOne = 4,
        augment: Literal["ada", "fixed", "none"] = "ada",
        augment_spec: Spec = "bgc",
        augment_p: Share | None = None,
        ada_target: Annotated[float, Range(-1, 1)] = 0.6,
        ada_kimg: Positive = 500.0,
        ada_max_p: Share = 0.8,
        adversarial_kimg: NotNegative = 0.0,
        lambda_latent: NotNegative = 0.0,
        lambda_image: NotNegative = 0.0,
    ) -> None:
        super().__init__()
        side, self.batch = max(images.resolution), images.batch
        shape = images.of_networks
        base = channel_base or (32768 if side >= 512 else 16384)
        latent = {"z_dim": z_dim, "w_dim": w_dim, "mapping_layers": mapping_layers}
        width = {"channel_base": base, "channel_max": channel_max}
        G = StyleGAN2Generator(*shape, architecture=g_architecture, **latent, **width)
        self.cycle = LatentCycle(lambda_latent, lambda_image, adversarial_kimg)
        self.G = nn.ModuleDict({"G": G, **self.cycle.encoder(G, **width)})
        group = mbstd_group or min(self.batch, 4)
        self.D = StyleGAN2Discriminator(
            *shape, architecture=d_architecture, mbstd_group=group, freeze_layers=freeze_d, **width
        )

        ada = {"target": ada_target, "kimg": ada_kimg, "max_p": ada_max_p}
        self.augment, self.ada = augmentation(augment, augment_spec, augment_p, **ada)
        self.register_buffer("pl_mean", torch.zeros(()))

        self.is_critic = loss == "wgan_gp"
        if r1_gamma is None:  # the reference's rule; a critic has its gradient penalty instead
            r1_gamma = 0.0 if self.is_critic else 0.0002 * side**2 / self.batch
        self.r1 = LazyPenalty(r1_gamma, r1_interval)
        self.adversary = Adversary(self.D, self.augment, self.ada, ADVERSARIAL[loss], self.r1)
        self.pl = LazyPenalty(pl_weight, pl_interval)
        self.style_mixing_prob, self.noise = style_mixing_prob, noise

    def phases(self) -> list[Phase]:
        """Return G, its path length penalty, D and its R1; a penalty of weight 0 is left out."""
        shown = ["fake", "real", *(["between"] if self.is_critic else [])]
        draw_d, draw_r1 = (partial(self.prepare, judged=judged) for judged in (shown, ["real"]))
        G = Phase("G", "G", self.generator_losses, prepare=self.prepare_generator)
        D = Phase("D", "D", self.discriminator_losses, prepare=draw_d)
        pl = Phase("G_pl", "G", self.path_length, self.pl.interval, True, prepare=self.prepare)
        r1 = Phase("D_r1", "D", self.r1_penalty, self.r1.interval, True, prepare=draw_r1)
        weights = ((G, 1), (pl, self.pl.weight), (D, 1), (r1, self.r1.weight))
        return [phase for phase, weight in weights if weight > 0]

    def prepare(self, batch: Batch, step: Step, judged: Sequence[str] = ()) -> Batch:
        """Draw on the host, before the losses: style mixing, and A for the `judged` images."""
        cutoff = draw_cutoff(generator_of(self.G).num_ws, self.style_mixing_prob)
        return cutoff | self.adversary.prepare(batch, judged)

    def prepare_generator(self, batch: Batch, step: Step) -> Batch:
        """Draw, and say whether the latent cycle has started."""
        return self.prepare(batch, step, ["fake"]) | self.cycle.prepare(batch, step)

    def sample_fakes(self, batch: Batch, share: int = 1) -> tuple[Tensor, Tensor]:
        """(ws, G(ws)) for the first 1 / share of the batch, at least for one image."""
        count, G = max(1, len(batch["image"]) // share), generator_of(self.G)
        ws = sample_ws(G, batch, count)
        return ws, G.synthesis(ws, noise_mode=self.noise)

    def judge(self, x: Tensor, batch: Batch, name: str | None = None) -> Tensor:
        """D(A(x), c), see `Adversary`."""
        return self.adversary.judge(x, batch, name)

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_G = E[softplus(-D(A(G(w))))]   (+ the latent cycle, see latent_cycle.py)."""
        ws, fake = self.sample_fakes(batch)
        losses = {"adversarial": self.adversary.generator_loss(fake, batch)}
        if "cycle" in batch:
            losses |= self.cycle.losses(self.G, ws, fake, batch["image"])
        yield losses

    def path_length(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_pl = w E[(||J_w^T y|| - a)^2],  y ~ N(0, I / HW),  a <- a + 0.01 (E||J_w^T y|| - a)."""
        ws, fake = self.sample_fakes(batch, share=2)  # half a batch is enough, as in the reference
        y = torch.randn_like(fake) / sqrt(fake.shape[2] * fake.shape[3])
        lengths = path_lengths(fake, ws, y)
        a = torch.lerp(self.pl_mean, lengths.mean(), PL_DECAY)  # with this batch's gradient
        # A step that is skipped because it is not finite must leave the running mean alone.
        self.pl_mean.copy_(torch.where(a.isfinite(), a.detach(), self.pl_mean))
        penalty = self.pl.weight * (lengths - a).square().mean()
        # 0 * fake: Adam skips parameters without a gradient, and their moments would go stale.
        yield {"path_length": penalty + 0 * fake.sum()}

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = E[softplus(D(A(G(w))))] + E[softplus(-D(A(x)))]."""
        with torch.no_grad():
            fake = self.sample_fakes(batch)[1]
        yield from self.adversary.losses(fake, batch)
        if self.is_critic:
            D = partial(self.judge, batch=batch, name="between")
            yield {"gp": GP_WEIGHT * gradient_penalty(D, batch["image"], fake)}

    def r1_penalty(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_R1 = gamma / 2 E[||grad_x D(A(x))||^2]."""
        penalty, logits = self.adversary.r1_penalty(batch)
        yield {"r1": penalty + 0 * logits.sum()}  # 0 * logits: as in `path_length`

    def adapt(self, step: Step) -> None:
        """Let ADA adjust its probability."""
        self.ada.update(step.index, self.batch)

    def report(self) -> dict[str, float]:
        """Return ADA's probability and the running mean of the path lengths."""
        return {"augment/p": self.ada.p, "G_pl/mean": float(self.pl_mean)}

    def derived(self) -> dict[str, Any]:
        """Return r1_gamma, which may follow from the resolution and the batch."""
        return {"r1_gamma": self.r1.weight}

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        """Return the columns of `preview_columns`."""
        return preview_columns(G, batch)
