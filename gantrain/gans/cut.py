"""CUT and FastCUT: translation in one direction by contrast of patches (Park et al. 2020).

arXiv 2007.15651. G translates domain a to b, D scores images of b. PatchNCE keeps content in place:
among the patches of an image, each patch of its translation has to resemble the one at its own
place most, as told by features of G's first half behind a head F of small networks.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.patches import PatchContrast, check_channels, choose_layers, of_each
from gantrain.losses import ADVERSARIAL, gradient_penalty
from gantrain.networks.layers import init_weights
from gantrain.networks.patch_head import PatchHead
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.translation import make_discriminator
from gantrain.types import AtLeastOne, NotNegative, Positive, Range, Schedule, value_at


class CUT(GAN):
    """A generator, a discriminator and a head; adversarial and contrastive losses.

    Args:
        images: channels of the streams "a" and "b", which are the same, and resolution.
        generator, blocks, ngf, norm, dropout, upsample, downsample: see `ResnetGenerator`; blocks
            None: 9 from 256 px on and 6 below.
        discriminator, d_layers, ndf, spectral_norm: see `gantrain.networks.translation`.
        init, init_gain: weight initialization, see `gantrain.networks.layers.init_weights`.
        loss: adversarial loss, see `gantrain.losses`.
        gp_weight: weight of the gradient penalty; used with "wgan_gp" only.
        lambda_adversarial, lambda_nce: weights of these losses, constants or schedules.
        nce_identity: CUT: half of lambda_nce is for images of b, which should stay as they are.
        flip_equivariance: FastCUT: half of the steps translate mirrored images.
        nce_layers: indices of layers in `G.model`; None: see `ResnetGenerator.encoder_layers`.
        num_patches: places compared in each layer, the same in all images of a batch.
        head_width: entries of the vectors that are compared.
        temperature: see `patch_nce`.
        all_negatives: contrast with the patches of the other images of a microbatch, too.
        direction: "ab", or "ba" from b to a.
        mode: "fast" batches passes and takes features of inputs from the pass that translates
            them, where the result is the same; "reference" runs each separately.
    """

    G: nn.ModuleDict
    D: nn.ModuleDict

    def __init__(
        self,
        images: ImageSpec,
        *,
        generator: Literal["resnet"] = "resnet",
        blocks: Annotated[int, Range(1, 64)] | None = None,
        ngf: AtLeastOne = 64,
        discriminator: Literal["patch", "pixel"] = "patch",
        d_layers: Annotated[int, Range(1, 8)] = 3,
        ndf: AtLeastOne = 64,
        norm: Literal["instance", "batch", "none"] = "instance",
        dropout: bool = False,
        upsample: Literal["transpose", "resize", "antialias"] = "antialias",
        downsample: Literal["strided", "antialias"] = "antialias",
        spectral_norm: bool = False,
        init: Literal["normal", "xavier", "kaiming", "orthogonal"] = "xavier",
        init_gain: NotNegative = 0.02,
        loss: Literal["lsgan", "vanilla", "hinge", "wgan_gp"] = "lsgan",
        gp_weight: NotNegative = 10.0,
        lambda_adversarial: Annotated[Schedule, Range(0)] = 1.0,
        lambda_nce: Annotated[Schedule, Range(0)] = 1.0,
        nce_identity: bool = True,
        flip_equivariance: bool = False,
        nce_layers: Annotated[list[int], Range(0)] | None = None,
        num_patches: AtLeastOne = 256,
        head_width: AtLeastOne = 256,
        temperature: Positive = 0.07,
        all_negatives: bool = False,
        direction: Literal["ab", "ba"] = "ab",
        mode: Literal["fast", "reference"] = "fast",
    ) -> None:
        super().__init__()
        self.direction, (self.source, self.target) = direction, direction
        depth = blocks or (9 if min(images.resolution) >= 256 else 6)
        ch = check_channels(images)
        G = ResnetGenerator(ch, ch, ngf, depth, norm, dropout, upsample, downsample)
        D = make_discriminator(discriminator, ch, ndf, d_layers, norm, downsample, spectral_norm)
        self.layers = choose_layers(nce_layers, G)
        shapes = G.feature_shapes(*images.resolution, self.layers)
        F = PatchHead([channels for channels, _, _ in shapes], head_width)
        self.G = nn.ModuleDict({direction: init_weights(G, init, init_gain)})
        self.D = nn.ModuleDict({self.target: init_weights(D, init, init_gain)})
        self.F = init_weights(F, init, init_gain)
        self.size_multiple = G.size_multiple
        self.loss = ADVERSARIAL[loss]
        self.gp_weight = gp_weight if loss == "wgan_gp" else 0.0
        self.lambda_adversarial, self.lambda_nce = lambda_adversarial, lambda_nce
        self.patches = PatchContrast(num_patches, temperature, all_negatives)
        self.flips = flip_equivariance
        # The images that G translates: those of its target domain should stay as they are.
        self.inputs = direction if nce_identity else self.source
        # Only per-image norms and no dropout make a pass the same whatever it is batched with.
        self.batched = mode == "fast" and norm != "batch" and not dropout

    def phases(self) -> list[Phase]:
        """Return D's phase, then that of G and F, which see the updated D."""
        return [
            Phase("D", "D", self.discriminator_losses, prepare=self.prepare_flip),
            Phase("G", ("G", "F"), self.generator_losses, prepare=self.prepare_patches),
        ]

    def prepare_flip(self, batch: Batch, step: Step) -> Batch:
        """Return "flipped_<domain>" of the inputs in the steps that mirror them."""
        # All microbatches, ranks and phases of a step make the same draws.
        shared = torch.Generator().manual_seed(step.seed)
        if not (self.flips and torch.rand((), generator=shared) < 0.5):
            return {}
        return {f"flipped_{d}": batch[d].flip(3) for d in self.inputs}

    def prepare_patches(self, batch: Batch, step: Step) -> Batch:
        """Return the flips, "patches_<domain>", places layer by layer, and "weight_<loss>"."""
        shared = torch.Generator().manual_seed(step.seed ^ 1)  # other numbers than the flips'
        entries = self.prepare_flip(batch, step)
        for d in self.inputs:
            shapes = self.generator.feature_shapes(*batch[d].shape[2:], self.layers)
            entries[f"patches_{d}"] = self.patches.draw(shapes, shared)
        weights = {"adversarial": self.lambda_adversarial, "nce": self.lambda_nce}
        for name, schedule in weights.items():
            if weight := value_at(schedule, step.nimg):
                entries[f"weight_{name}"] = batch["a"].new_full((), weight)
        return entries

    @property
    def generator(self) -> Any:
        """The only generator."""
        return self.G[self.direction]

    def discriminator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """L_D = 1/2 [real(D(b)) + fake(D(G(a)))] (+ gp_weight * penalty)."""
        D, real = self.D[self.target], batch[self.target]
        # G is frozen here and makes no graph: its own phase translates once more.
        fake = self.generator(self.seen(batch, self.source)).detach()
        (real_logits,), (fake_logits,) = of_each([real, fake], lambda x: [D(x)], self.batched)
        losses = {"real": 0.5 * self.loss.real(real_logits)}
        losses["fake"] = 0.5 * self.loss.fake(fake_logits)
        if self.gp_weight > 0:
            losses["gp"] = self.gp_weight * gradient_penalty(D, real, fake)
        yield losses

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        """Yield the losses of G and F, paper eq. 5.

        L = w_adv adv(D(G(a))) + w_nce 1/2 [NCE(G(a), a) + NCE(G(b), b)], or without identity
        L = w_adv adv(D(G(a))) + w_nce NCE(G(a), a)
        """
        adversarial, weight = (batch.get(f"weight_{name}") for name in ("adversarial", "nce"))
        inputs = [self.seen(batch, d) for d in self.inputs]
        translated = of_each(inputs, self.translate, self.batched)  # images, then features
        images = [image for image, *_ in translated]
        losses = {}
        if adversarial is not None:
            game = self.loss.generator(self.D[self.target](images[0]))
            losses["adversarial"] = adversarial * game
        if weight is not None:
            keys, is_flipped = [x[1:] for x in translated], f"flipped_{self.source}" in batch
            if is_flipped or not self.batched:
                with torch.no_grad():
                    unflipped = [batch[d] for d in self.inputs]
                    keys = of_each(unflipped, self.encode, self.batched)
            queries = of_each(images, self.encode, self.batched)
            for d, query, key in zip(self.inputs, queries, keys, strict=True):
                # Mirrored back, so that places are those of the input.
                query = [x.flip(3) for x in query] if is_flipped else query
                nce = self.patches.loss(self.F, query, key, batch[f"patches_{d}"])
                losses["nce" if d == self.source else "nce_identity"] = weight / len(keys) * nce
        yield losses

    def seen(self, batch: Batch, domain: str) -> Tensor:
        """Return images of a domain, mirrored if the step mirrors them."""
        return batch.get(f"flipped_{domain}", batch[domain])

    def translate(self, x: Tensor) -> list[Tensor]:
        """Return the translation of images, and then their features."""
        image, features = self.generator.with_features(x, self.layers)
        return [image, *features]

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the features of images, [N, C, H, W] of each layer."""
        return self.generator.encode(x, self.layers)

    def derived(self) -> dict[str, Any]:
        """Return the layers whose features are compared."""
        return {"nce_layers": self.layers}

    def preview(self, G: nn.Module, batch: Batch) -> Batch:
        """Return the columns real a, fake b, identity b."""
        assert isinstance(G, nn.ModuleDict)
        a, b, generator = batch[self.source], batch[self.target], G[self.direction]
        columns = {f"real {self.source}": a, f"fake {self.target}": generator(a)}
        return columns | {f"identity {self.target}": generator(b)}
