"""StyleGAN2 with adaptive augmentation (Karras et al. 2020, arXiv 1912.04958 and 2006.06676).

z ~ N(0, I), w = mapping(z, c), G(w) = synthesis(w); A: the augmentation that D looks through.
"""

from collections.abc import Iterator
from functools import partial
from math import sqrt
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gantrain.augment.ada import ADA
from gantrain.augment.pipe import AugmentPipe, Spec
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.latent_cycle import LatentCycle
from gantrain.gans.latents import generator_of, preview_columns, sample_ws
from gantrain.losses import ADVERSARIAL, gradient_penalty, path_lengths, squared_gradient
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.types import Range

Count = Annotated[int, Range(1)]
Share = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0)]


class StyleGAN(GAN):
    """Settings: configs/model/stylegan.yaml. A fake gets the label "label" of a real one."""

    takes: ClassVar[Literal["unpaired", "images"]] = "images"
    pl_mean: Tensor

    def __init__(
        self,
        images: ImageSpec,
        *,
        z_dim: Count = 512,
        w_dim: Count = 512,
        mapping_layers: Count = 2,
        channel_base: Count | None = None,
        channel_max: Count = 512,
        g_architecture: Literal["skip", "resnet", "orig"] = "skip",
        d_architecture: Literal["resnet", "skip", "orig"] = "resnet",
        noise: Literal["random", "none"] = "random",
        mbstd_group: Count | None = None,
        freeze_d: Annotated[int, Range(0)] = 0,
        loss: Literal["vanilla", "hinge", "wgan_gp", "lsgan"] = "vanilla",
        style_mixing_prob: Share = 0.9,
        r1_gamma: Weight | None = None,
        r1_interval: Count = 16,
        pl_weight: Weight = 2.0,
        pl_interval: Count = 4,
        augment: Literal["ada", "fixed", "none"] = "ada",
        augment_spec: Spec = "bgc",
        augment_p: Share = 0.0,
        ada_target: Annotated[float, Range(-1, 1)] = 0.6,
        ada_kimg: Annotated[float, Range(0, open_low=True)] = 500.0,
        ada_max_p: Share = 0.8,
        adversarial_kimg: Weight = 0.0,
        lambda_latent: Weight = 0.0,
        lambda_image: Weight = 0.0,
    ) -> None:
        super().__init__()
        side, self.batch = max(images.resolution), images.batch
        shape = (list(images.resolution), images.channels["image"], images.label_dim)
        latent: Any = {"z_dim": z_dim, "w_dim": w_dim, "mapping_layers": mapping_layers}
        base = channel_base or (32768 if side >= 512 else 16384)
        width: Any = {"channel_base": base, "channel_max": channel_max}
        group = mbstd_group or min(self.batch, 4)
        judge: Any = dict(architecture=d_architecture, mbstd_group=group, freeze_layers=freeze_d)
        G = StyleGAN2Generator(*shape, architecture=g_architecture, **latent, **width)
        self.cycle = LatentCycle(lambda_latent, lambda_image, adversarial_kimg)
        self.G = nn.ModuleDict({"G": G, **self.cycle.encoder(G, **width)})
        self.D = StyleGAN2Discriminator(*shape, **judge, **width)
        self.augment = AugmentPipe("none" if augment == "none" else augment_spec)
        target = ada_target if augment == "ada" else None
        self.ada = ADA(target, augment_p, ada_kimg, max_p=max(ada_max_p, augment_p))
        self.register_buffer("pl_mean", torch.zeros(()))
        self.loss, self.critic = ADVERSARIAL[loss], loss == "wgan_gp"
        rule = 0.0 if self.critic else 0.0002 * side**2 / self.batch
        self.r1 = (rule if r1_gamma is None else r1_gamma, r1_interval)
        self.pl, self.mixing, self.noise = (pl_weight, pl_interval), style_mixing_prob, noise

    def phases(self) -> list[Phase]:
        G = Phase("G", "G", self.generator_losses)
        D = Phase("D", "D", self.discriminator_losses, double_backward=self.critic)
        pl = Phase("G_pl", "G", self.path_length, self.pl[1], True, full_precision=True)
        r1 = Phase("D_r1", "D", self.r1_penalty, self.r1[1], True, full_precision=True)
        return [G, *[pl] * (self.pl[0] > 0), D, *[r1] * (self.r1[0] > 0)]

    def fakes(self, batch: Batch, share: int = 1) -> tuple[Tensor, Tensor]:
        """(ws, G(ws)) for the first 1 / share of the batch; at least one picture."""
        count, G = max(1, len(batch["image"]) // share), generator_of(self.G)
        ws = sample_ws(G, batch, count, self.mixing)
        return ws, G.synthesis(ws, noise_mode=self.noise)

    def judge(self, x: Tensor, batch: Batch) -> Tensor:
        """D(A(x), c): logits [N] for x [N, C, H, W]."""
        return self.D(self.augment(x, self.ada.p), batch.get("label"))

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_G = E[softplus(-D(A(G(w))))]   (+ the latent cycle, see latent_cycle.py)"""
        ws, fake = self.fakes(batch)
        losses = {"adversarial": self.loss.generator(self.judge(fake, batch))}
        yield losses | self.cycle.losses(self.G, ws, fake, batch["image"], step)

    def path_length(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_pl = w E[(||J_w^T y|| - a)^2],  y ~ N(0, I / HW),  a <- a + 0.01 (E||J_w^T y|| - a)"""
        ws, fake = self.fakes(batch, share=2)
        y = torch.randn_like(fake) / sqrt(fake.shape[2] * fake.shape[3])
        lengths = path_lengths(fake, ws, y)
        a = torch.lerp(self.pl_mean, lengths.mean(), 0.01)
        self.pl_mean.copy_(torch.where(a.isfinite(), a.detach(), self.pl_mean))
        # 0 * fake: Adam skips parameters without a gradient, and their moments would go astray.
        yield {"path_length": self.pl[0] * (lengths - a).square().mean() + 0 * fake.sum()}

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = E[softplus(D(A(G(w))))] + E[softplus(-D(A(x)))]; two passes, never one batch."""
        real = batch["image"]
        with torch.no_grad():
            fake = self.fakes(batch)[1]
        on_fake = self.judge(fake, batch)
        yield {"fake": self.loss.fake(on_fake), "logit_fake": on_fake.detach().mean()}
        on_real = self.judge(real, batch)
        self.ada.observe(on_real)
        losses = {"real": self.loss.real(on_real), "logit_real": on_real.detach().mean()}
        if self.critic:
            losses["gp"] = 10 * gradient_penalty(partial(self.judge, batch=batch), real, fake)
        yield losses

    def r1_penalty(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_R1 = gamma / 2 E[||grad_x D(A(x))||^2]"""
        x = batch["image"].detach().requires_grad_(True)
        logits = self.judge(x, batch)
        self.ada.observe(logits)
        yield {"r1": self.r1[0] / 2 * squared_gradient(logits, x).mean() + 0 * logits.sum()}

    def adapt(self, step: Step) -> None:
        self.ada.update(step.index, self.batch)

    def report(self) -> dict[str, float]:
        return {"augment/p": self.ada.p, "G_pl/mean": float(self.pl_mean)}

    def derived(self) -> dict[str, Any]:
        return {"r1_gamma": self.r1[0]}

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        return preview_columns(G, batch)
