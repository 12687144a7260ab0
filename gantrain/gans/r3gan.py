"""R3GAN: "The GAN is dead; long live the GAN!" (Huang et al. 2024, arXiv 2501.05441).

x: real images, c: their labels; z ~ N(0, I), y = G(z, c). The fake of each place in the batch is
paired with the real image of that place. A: the augmentation D sees its images through; D(x) below
is short for D(A(x), c).
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gantrain.augment.pipe import AugmentPipe, Spec
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step, real_batch
from gantrain.gans.latents import preview_samples, sample_images
from gantrain.losses import relativistic, squared_gradient
from gantrain.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from gantrain.networks.sizes import block_sizes
from gantrain.types import AtLeastOne, Range, Schedule, Share, value_at

HALF_RESOLUTIONS = 4  # the highest resolutions follow runtime.precision, as published


class R3GAN(GAN):
    """Relativistic pairs, R1 and R2 in every step of D, and residual networks without norms.

    A step takes two independent batches of real images, D's and G's, and counts as one.

    Args:
        z_dim: entries of the latent z.
        channel_base, channel_max: a stage of side s has min(channel_base // s, channel_max)
            channels.
        blocks: residual blocks of each stage.
        group_width: channels of a group of the 3x3 convolutions.
        gamma: weight of R1 and R2, perhaps over time.
        penalty_interval: 1 adds R1 and R2 to every loss of D, as published; k > 1 gives them a step
            of their own after every k-th one of D, with k times the weight.
        augment_p: probability of each augmentation, perhaps over time.
        augment_spec: the transforms, see `gantrain.augment.pipe`.
        augment_color: probability of those of colour, as a share of augment_p.

    Raises:
        ConfigError: no network exists for the resolution or the widths.
    """

    takes: ClassVar[Literal["unpaired", "images"]] = "images"
    real_batches: ClassVar[int] = 2

    def __init__(
        self,
        images: ImageSpec,
        *,
        z_dim: AtLeastOne = 64,
        channel_base: AtLeastOne = 24576,
        channel_max: AtLeastOne = 768,
        blocks: AtLeastOne = 2,
        group_width: AtLeastOne = 16,
        gamma: Annotated[Schedule, Range(0)] = 2.0,
        penalty_interval: AtLeastOne = 1,
        augment_p: Annotated[Schedule, Range(0, 1)] = 0.0,
        augment_spec: Spec = "bgc_cutout",
        augment_color: Share = 0.5,
    ) -> None:
        super().__init__()
        sizes = block_sizes(images.resolution, channel_base, channel_max, HALF_RESOLUTIONS)
        widths = [size.channels for size in sizes]
        stages: dict[str, Any] = {
            "widths": widths,
            "blocks": [blocks] * len(widths),
            "group_width": group_width,
            "half_resolutions": HALF_RESOLUTIONS,
        }
        self.G = R3GANGenerator(*images.of_networks, z_dim=z_dim, **stages)
        self.D = R3GANDiscriminator(*images.of_networks, **stages)
        self.augment = AugmentPipe(augment_spec, {"color": augment_color})
        self.gamma, self.penalty_interval = gamma, penalty_interval
        self.augment_p, self.p = augment_p, 0.0  # p: its value in the last step

    def phases(self) -> list[Phase]:
        """Return D, its penalties if they have a step of their own, and G."""
        D = Phase("D", "D", self.discriminator_losses, prepare=self.prepare_discriminator)
        G = Phase("G", "G", self.generator_losses, prepare=self.prepare_generator)
        if self.penalty_interval == 1:
            return [D, G]
        own = partial(Phase, "D_gp", "D", self.lazy_penalties, prepare=self.prepare_discriminator)
        return [D, own(interval=self.penalty_interval, full_precision=True), G]

    def prepare_discriminator(self, batch: Batch, step: Step) -> Batch:
        """Draw A for pairs, a transform for every image, and evaluate gamma."""
        x = batch["image"]
        gamma = x.new_full((), value_at(self.gamma, step.nimg))
        pairs = x.new_empty(2 * len(x), *x.shape[1:])
        return {"gamma": gamma, **self.draw(pairs, step, "pairs")}

    def prepare_generator(self, batch: Batch, step: Step) -> Batch:
        """Draw A for fakes and, independently, for real images."""
        x = batch["image"]
        return self.draw(x, step, "fake") | self.draw(x, step, "real")

    def draw(self, x: Tensor, step: Step, name: str) -> Batch:
        """Draw A for images of this shape, with the probability of this step."""
        self.p = value_at(self.augment_p, step.nimg)
        is_ramp = not isinstance(self.augment_p, int | float)
        return self.augment.prepare(x, self.p, f"augment/{name}", will_rise=is_ramp)

    def judge(self, x: Tensor, batch: Batch, name: str | None = None) -> Tensor:
        """D(A(x), c): logits [N] for x [N, C, H, W]; `name`: A as in the batch; None: a new A."""
        A = self.augment
        x = A.apply_prepared(x, batch, f"augment/{name}") if name else A(x, self.p)
        return self.D(x, batch.get("label"))

    def judge_pairs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return x and then y [2N, C, H, W], whose gradient can be taken, and their logits [2N]."""
        with torch.no_grad():
            fake = sample_images(self.G, batch)
        pairs = torch.cat([batch["image"], fake]).requires_grad_(True)
        # In one pass: no operation of D mixes the images of a batch.
        labels = {"label": batch["label"].repeat(2, 1)} if "label" in batch else {}
        return pairs, self.judge(pairs, batch | labels, "pairs")

    def penalty(self, gamma: Tensor, logits: Tensor, pairs: Tensor) -> dict[str, Tensor]:
        """R1 = gamma / 2 E[||grad_x D(x)||^2],  R2 = gamma / 2 E[||grad_y D(y)||^2]."""
        r1, r2 = squared_gradient(logits, pairs).chunk(2)  # the gradient passes through A
        return {"r1": gamma / 2 * r1.mean(), "r2": gamma / 2 * r2.mean()}

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = E[softplus(-(D(x) - D(y)))] + R1 + R2."""
        pairs, logits = self.judge_pairs(batch)
        real, fake = logits.chunk(2)
        losses = {"adversarial": relativistic(ahead=real, behind=fake)}
        if self.penalty_interval == 1:
            losses |= self.penalty(batch["gamma"], logits, pairs)
        yield losses | {"lead": (real - fake).detach().mean()}

    def lazy_penalties(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """R1 + R2, which the engine multiplies by the interval."""
        pairs, logits = self.judge_pairs(batch)
        # 0 * logits: Adam skips parameters without a gradient, and their moments would go stale.
        losses = self.penalty(batch["gamma"], logits, pairs)
        yield {**losses, "r2": losses["r2"] + 0 * logits.sum()}

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_G = E[softplus(-(D(y) - D(x')))] with the step's second batch of real images x'."""
        batch = batch | real_batch(batch, 1)
        fake = self.judge(sample_images(self.G, batch), batch, "fake")
        with torch.no_grad():  # x' only shifts how much each pair counts
            real = self.judge(batch["image"], batch, "real")
        lead = (fake - real).detach().mean()
        yield {"adversarial": relativistic(ahead=fake, behind=real), "lead": lead}

    def report(self) -> dict[str, float]:
        """Return the probability of the augmentations."""
        return {"augment/p": self.p}

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        """Return the columns of `preview_samples`."""
        return preview_samples(G, batch)
