"""StyleGAN3 (Karras et al. 2021, arXiv 2106.12423): a generator without aliasing.

z ~ N(0, I), w = mapping(z, c), G(w) = synthesis(w); A: the augmentation D sees its images through;
B: the blur in front of A, which fades out during the first images.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gantrain.augment.pipe import Spec
from gantrain.gans.adversary import Adversary, augmentation
from gantrain.gans.base import GAN, Batch, ImageSpec, LazyPenalty, Phase, Step
from gantrain.gans.latents import generator_of, preview_columns, sample_ws
from gantrain.losses import ADVERSARIAL
from gantrain.networks.layers import without_autocast
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan3.generator import StyleGAN3Generator
from gantrain.ops.blur import blur, blur_taps
from gantrain.ops.precision import at_least_float32
from gantrain.types import AtLeastOne, Count, NotNegative, Positive, Range, Share

R_BLUR = 10.0  # pixels, of config R (appendix G)
MAGNITUDE_IMAGES = 20_000  # half-life of the running means of the layers' inputs


class StyleGAN3(GAN):
    """StyleGAN3 on single images, with StyleGAN2's discriminator and loss.

    Args:
        config: "t": details move with the objects; "r": they also turn with them.
        z_dim, w_dim, mapping_layers: see `StyleGAN3Generator`.
        channel_base, channel_max: width of both networks; the generator of "r" has twice of both.
        mbstd_group: images that share one minibatch standard deviation; None: at most 4.
        freeze_d: number of D's first layers that are not trained.
        r1_gamma: weight of R1; None: 2 * (side / 256)^2. Steps between two: r1_interval.
        blur_sigma: B's half-height distance in pixels at first; None: 10 for "r", 0 for "t".
        blur_kimg: thousands of images after which B is gone; None: batch * 200 / 32.
        augment: "ada" adapts the probability p from `augment_p` on, "fixed" keeps it there.
        augment_p: None: 0.
        augment_spec: the transforms, see `gantrain.augment.pipe`.
        ada_target, ada_kimg, ada_max_p: see `gantrain.augment.ada`.
    """

    takes: ClassVar[Literal["unpaired", "images"]] = "images"

    def __init__(
        self,
        images: ImageSpec,
        *,
        config: Literal["t", "r"] = "t",
        z_dim: AtLeastOne = 512,
        w_dim: AtLeastOne = 512,
        mapping_layers: AtLeastOne = 2,
        channel_base: AtLeastOne = 32768,
        channel_max: AtLeastOne = 512,
        mbstd_group: AtLeastOne | None = None,
        freeze_d: Count = 0,
        r1_gamma: NotNegative | None = None,
        r1_interval: AtLeastOne = 16,
        blur_sigma: NotNegative | None = None,
        blur_kimg: Positive | None = None,
        augment: Literal["ada", "fixed", "none"] = "ada",
        augment_spec: Spec = "bgc",
        augment_p: Share | None = None,
        ada_target: Annotated[float, Range(-1, 1)] = 0.6,
        ada_kimg: Positive = 500.0,
        ada_max_p: Share = 0.8,
    ) -> None:
        super().__init__()
        side, self.batch = max(images.resolution), images.batch
        shape = images.of_networks
        G = StyleGAN3Generator(
            *shape,
            config=config,
            z_dim=z_dim,
            w_dim=w_dim,
            mapping_layers=mapping_layers,
            channel_base=channel_base,
            channel_max=channel_max,
            # 1x1 convolutions have a ninth of the weights.
            channel_factor=2 if config == "r" else 1,
            magnitude_beta=0.5 ** (self.batch / MAGNITUDE_IMAGES),
        )
        self.G = nn.ModuleDict({"G": G})
        self.D = StyleGAN2Discriminator(
            *shape,
            channel_base=channel_base,
            channel_max=channel_max,
            mbstd_group=mbstd_group or min(self.batch, 4),
            freeze_layers=freeze_d,
        )
        ada = {"target": ada_target, "kimg": ada_kimg, "max_p": ada_max_p}
        self.augment, self.ada = augmentation(augment, augment_spec, augment_p, **ada)
        # Published for 128 to 1024 px at a batch of 32: proportional to the number of pixels.
        gamma = 2 * (side / 256) ** 2 if r1_gamma is None else r1_gamma
        self.r1 = LazyPenalty(gamma, r1_interval)
        self.adversary = Adversary(
            self.D, self.augment, self.ada, ADVERSARIAL["vanilla"], self.r1, view_blurred
        )
        default_sigma = R_BLUR if config == "r" else 0.0
        self.blur_sigma = default_sigma if blur_sigma is None else blur_sigma
        self.blur_kimg = self.batch * 200 / 32 if blur_kimg is None else blur_kimg
        self.nimg = 0  # of the last step, for the probes

    def phases(self) -> list[Phase]:
        """Return G, D and D's R1, which is left out if its weight is 0."""
        shown = (["fake"], ["fake", "real"], ["real"])
        draw_g, draw_d, draw_r1 = (partial(self.prepare, judged=judged) for judged in shown)
        G = Phase("G", "G", self.generator_losses, prepare=draw_g)
        D = Phase("D", "D", self.discriminator_losses, prepare=draw_d)
        r1 = Phase("D_r1", "D", self.r1_penalty, self.r1.interval, True, prepare=draw_r1)
        return [G, D, r1] if self.r1.weight > 0 else [G, D]

    def prepare(self, batch: Batch, step: Step, judged: list[str]) -> Batch:
        """Draw A for the `judged` images on the host, and compute B for this step."""
        return self.adversary.prepare(batch, judged) | self.blur_of(step.nimg)

    def blur_of(self, nimg: int) -> Batch:
        """Return {"blur": the taps of B} after n images, or {} once there is no blur.

        sigma = sigma_0 max(1 - n / fade, 0)
        """
        sigma = self.blur_sigma * max(1 - nimg / (self.blur_kimg * 1000), 0)
        # One length for all steps: a recorded phase has fixed shapes.
        longest = int(3 * self.blur_sigma)
        return {"blur": blur_taps(sigma, longest)} if int(3 * sigma) > 0 else {}

    def sample_fakes(self, batch: Batch, *, update: bool) -> Tensor:
        """G(w) for as many images as the batch has; `update` moves all running means."""
        G = generator_of(self.G)
        assert isinstance(G, StyleGAN3Generator)
        ws = sample_ws(G, batch, len(batch["image"]), update_w_avg=update)
        return G.synthesis(ws, update_magnitudes=update)

    def judge(self, x: Tensor, batch: Batch) -> Tensor:
        """D(A(B(x)), c): logits [N] for x [N, C, H, W], with a new A and the B of the last step."""
        blur = {name: taps.to(x.device) for name, taps in self.blur_of(self.nimg).items()}
        return self.adversary.judge(x, batch | blur)

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_G = E[softplus(-D(A(B(G(w)))))]."""
        fake = self.sample_fakes(batch, update=False)
        yield {"adversarial": self.adversary.generator_loss(fake, batch)}

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = E[softplus(D(A(B(G(w)))))] + E[softplus(-D(A(B(x))))]."""
        with torch.no_grad():
            fake = self.sample_fakes(batch, update=True)
        yield from self.adversary.losses(fake, batch)

    def r1_penalty(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_R1 = gamma / 2 E[||grad_x D(A(B(x)))||^2]."""
        # No 0 * logits as in StyleGAN2: the reference leaves D's last bias out of this step.
        yield {"r1": self.adversary.r1_penalty(batch)[0]}

    def adapt(self, step: Step) -> None:
        """Let ADA adjust its probability."""
        self.nimg = step.nimg
        self.ada.update(step.index, self.batch)

    def report(self) -> dict[str, float]:
        """Return ADA's probability."""
        return {"augment/p": self.ada.p}

    def derived(self) -> dict[str, Any]:
        """Return r1_gamma and the blur, which may follow from resolution, batch and config."""
        blur = {"blur_sigma": self.blur_sigma, "blur_kimg": self.blur_kimg}
        return {"r1_gamma": self.r1.weight, **(blur if self.blur_sigma else {})}

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        """Return the columns of `preview_columns`."""
        return preview_columns(G, batch)


def view_blurred(x: Tensor, batch: Batch) -> Tensor:
    """B(x), with the taps of the batch."""
    if "blur" not in batch:
        return x
    with without_autocast(x):  # rounded to bfloat16, the blurred images would show steps
        return blur(at_least_float32(x), batch["blur"])
