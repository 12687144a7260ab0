"""D as StyleGAN2 and StyleGAN3 train it: behind adaptive augmentation, with lazy R1.

Karras et al. 2020 (arXiv 2006.06676). A: the augmentation D sees its images through.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from torch import Tensor, nn

from gantrain.augment.ada import ADA
from gantrain.augment.pipe import AugmentPipe, Spec
from gantrain.gans.base import Batch, LazyPenalty
from gantrain.losses import AdversarialLoss, squared_gradient


def augmentation(
    mode: Literal["ada", "fixed", "none"],
    spec: Spec,
    p: float | None,
    *,
    target: float,
    kimg: float,
    max_p: float,
) -> tuple[AugmentPipe, ADA]:
    """Return the augmentations, and what controls their probability.

    Args:
        mode: "ada" adapts p, "fixed" keeps it, "none" leaves images as they are.
        spec: the transforms.
        p: the initial probability; None: 0.
        target: see `ADA`.
        kimg: see `ADA`.
        max_p: see `ADA`; at least p.
    """
    pipe = AugmentPipe("none" if mode == "none" else spec)
    p = p or 0.0
    return pipe, ADA(target if mode == "ada" else None, p, kimg, max_p=max(max_p, p))


def _unchanged(x: Tensor, batch: Batch) -> Tensor:
    return x


class Adversary:
    """The game against D: what D sees, its losses and G's.

    The formulas are those of loss="vanilla"; the others are in `gantrain.losses`.

    Args:
        D: (images [N, C, H, W], labels or None) -> logits [N].
        pipe: A.
        ada: controls the probability of A.
        loss: the adversarial losses.
        r1: the weight of R1 and the steps between two.
        view: (images, batch) -> images; what happens to images in front of A.
    """

    def __init__(
        self,
        D: nn.Module,
        pipe: AugmentPipe,
        ada: ADA,
        loss: AdversarialLoss,
        r1: LazyPenalty,
        view: Callable[[Tensor, Batch], Tensor] = _unchanged,
    ) -> None:
        self.D, self.pipe, self.ada, self.loss, self.r1 = D, pipe, ada, loss, r1
        self.view = view

    def prepare(self, batch: Batch, judged: Iterable[str]) -> Batch:
        """Draw A on the host, before the losses, for the images of these names."""
        entries: Batch = {}
        for name in judged:
            entries |= self.pipe.prepare(batch["image"], self.ada.p, f"augment/{name}")
        return entries

    def judge(self, x: Tensor, batch: Batch, name: str | None = None) -> Tensor:
        """D(A(x), c): logits [N] for x [N, C, H, W]; `name`: A as in the batch; None: a new A."""
        A, x = self.pipe, self.view(x, batch)
        x = A.apply_prepared(x, batch, f"augment/{name}") if name else A(x, self.ada.p)
        return self.D(x, batch.get("label"))

    def generator_loss(self, fake: Tensor, batch: Batch) -> Tensor:
        """L_G = E[softplus(-D(A(G(w))))]."""
        return self.loss.generator(self.judge(fake, batch, "fake"))

    def losses(self, fake: Tensor, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """L_D = E[softplus(D(A(G(w))))] + E[softplus(-D(A(x)))]."""
        # Two passes, never one batch: the minibatch standard deviation must not mix fake and real.
        fake_logits = self.judge(fake, batch, "fake")
        yield {"fake": self.loss.fake(fake_logits), "logit_fake": fake_logits.detach().mean()}

        real_logits = self.judge(batch["image"], batch, "real")
        self.ada.observe(real_logits)
        yield {"real": self.loss.real(real_logits), "logit_real": real_logits.detach().mean()}

    def r1_penalty(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """L_R1 = gamma / 2 E[||grad_x D(A(x))||^2], and the logits [N]."""
        x = batch["image"].detach().requires_grad_(True)  # the gradient passes through A
        logits = self.judge(x, batch, "real")
        self.ada.observe(logits)
        return self.r1.weight / 2 * squared_gradient(logits, x).mean(), logits
