"""Adversarial losses by name, and penalties. Losses are means over logits of any shape."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.ops.precision import at_least_float32

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of one adversarial game, each from logits of any shape to a scalar.

    Attributes:
        real: D's loss on logits of real images.
        fake: D's loss on logits of fake images.
        generator: G's loss on logits of fake images.
    """

    real: Loss
    fake: Loss
    generator: Loss


def _mean(loss: Loss) -> Loss:
    # Losses stay in float32 whatever precision the networks ran in.
    return lambda logits: loss(at_least_float32(logits)).mean()


ADVERSARIAL: dict[str, AdversarialLoss] = {
    # Least squares (Mao et al. 2017): (p - target)^2 with targets 1 and 0.
    "lsgan": AdversarialLoss(
        real=_mean(lambda p: (p - 1).square()),
        fake=_mean(lambda p: p.square()),
        generator=_mean(lambda p: (p - 1).square()),
    ),
    # Binary cross-entropy with the non-saturating generator (Goodfellow et al. 2014).
    "vanilla": AdversarialLoss(
        real=_mean(lambda p: F.softplus(-p)),
        fake=_mean(F.softplus),
        generator=_mean(lambda p: F.softplus(-p)),
    ),
    # Hinge (Lim & Ye 2017; Miyato et al. 2018).
    "hinge": AdversarialLoss(
        real=_mean(lambda p: F.relu(1 - p)),
        fake=_mean(lambda p: F.relu(1 + p)),
        generator=_mean(lambda p: -p),
    ),
    # Wasserstein critic (Arjovsky et al. 2017); use with `gradient_penalty`.
    "wgan_gp": AdversarialLoss(
        real=_mean(lambda p: -p),
        fake=_mean(lambda p: p),
        generator=_mean(lambda p: -p),
    ),
}


def relativistic(ahead: Tensor, behind: Tensor) -> Tensor:
    """Return E[softplus(-(ahead - behind))] over pairs of real and fake images.

    The relativistic loss (Jolicoeur-Martineau 2019, arXiv:1807.00734), paired as in R3GAN. D pulls
    its logits of real images ahead of those of fakes, G the other way round.

    Args:
        ahead: logits [N].
        behind: logits [N] of their partners.

    Returns:
        Scalar, in float32 or wider.
    """
    return F.softplus(at_least_float32(behind) - at_least_float32(ahead)).mean()


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Return mean |x - y| as a scalar, computed in at least float32.

    Args:
        x: any shape and floating-point dtype.
        y: of the same shape.
    """
    return (at_least_float32(x) - at_least_float32(y)).abs().mean()


def gradient_penalty(discriminator: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """Return E[(||grad_x D(x)||_2 - 1)^2] at random x between real and fake images.

    This is WGAN-GP's penalty (Gulrajani et al. 2017, arXiv:1704.00028).

    Args:
        discriminator: images [N, C, H, W] to logits [N, ...].
        real: [N, C, H, W].
        fake: [N, C, H, W]; one interpolation weight is drawn per pair.

    Returns:
        Scalar, differentiable in D's parameters (second-order).
    """
    with torch.autocast(real.device.type, enabled=False):  # second-order terms stay in float32
        t = torch.rand(
            real.shape[0], 1, 1, 1, device=real.device, dtype=at_least_float32(real).dtype
        )
        x = torch.lerp(at_least_float32(real), at_least_float32(fake), t).requires_grad_(True)
        logits = discriminator(x)
        # A patch discriminator gives many scores per image: the score of the image is their mean.
        score = logits.reshape(len(logits), -1).mean(1).sum()
        # create_graph: the penalty is itself differentiated, in the parameters of D.
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def squared_gradient(logits: Tensor, x: Tensor) -> Tensor:
    """Return R1's ||grad_x D(x)||^2 of every image (Mescheder et al. 2018, arXiv:1801.04406).

    Args:
        logits: [N], D's logits of x in float32.
        x: [N, C, H, W] with requires_grad.

    Returns:
        [N], differentiable in D's parameters (second-order).
    """
    # The sum of the logits: one backward pass gives the gradients of all images.
    # Double backward: forward mode along the gradient does without, but takes a third more
    # products, and torch's rule for norms has a wrong gradient (docs/benchmarks.md).
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Return ||J_w^T y||, how far a step in w moves the image (Karras et al., arXiv:1912.04958).

    Args:
        images: [N, C, H, W] synthesized from ws, in float32.
        ws: [N, num_ws, w_dim]; the norm is over w_dim, its square is averaged over num_ws.
        noise: y, like images, of standard deviation 1 / sqrt(H W).

    Returns:
        [N], differentiable in G's parameters (second-order).
    """
    # J_w^T y = grad_w <G(w), y>, so the Jacobian itself is never computed (section 3.2).
    (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return PatchNCE, how hard it is to tell a patch's own key from those of other patches.

    -log(exp(q_i k_i / t) / (exp(q_i k_i / t) + sum_{j != i} exp(q_i k_j / t)))  (Park et al. 2020,
    arXiv 2007.15651, eq. 3). No gradient reaches the keys.

    Args:
        queries: [N, P, C], P patches of each translated image, of length 1.
        keys: [N, P, C], the patches of the input images at the same places.
        temperature: t.

    Returns:
        [N, P], in float32 or wider.
    """
    q, k = at_least_float32(queries), at_least_float32(keys).detach()
    with torch.autocast(q.device.type, enabled=False):
        own = (q * k).sum(-1)
        others = q @ k.transpose(1, 2)
        itself = torch.eye(q.shape[1], dtype=torch.bool, device=q.device)
        # The own key is no negative; as published, -10 takes its place before the temperature.
        others = others.masked_fill(itself, -10.0)
        logits = torch.cat([own[..., None], others], -1) / temperature
        return torch.logsumexp(logits, -1) - logits[..., 0]
