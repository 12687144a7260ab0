"""A cycle between latents and pictures: an encoder E that inverts StyleGAN's synthesis.

The second stage of experiment=stylegan_cycle, the counterpart of CycleGAN's cycle consistency
(Zhu et al. 2017) between the domain of pictures and the domain of w.
"""

from typing import Any

from torch import Tensor, nn

from gantrain.gans.base import Step
from gantrain.gans.latents import generator_of
from gantrain.losses import l1
from gantrain.networks.stylegan2.encoder import StyleGAN2Encoder
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.ops.precision import at_least_float32


class LatentCycle:
    """Weights of the two terms, and when they set in.

    Args:
        latent: weight of E[(E(G(w)) - w)^2]; the target w is held fixed.
        image: weight of E|G(E(x)) - x|_1.
        after_kimg: from so many thousand images on; before it, E rests.
    """

    def __init__(self, latent: float, image: float, after_kimg: float) -> None:
        self.latent, self.image, self.after = latent, image, round(after_kimg * 1000)

    def encoder(self, G: StyleGAN2Generator, **settings: Any) -> dict[str, nn.Module]:
        """{"E": an encoder for G's pictures} if any term has a weight, else {}."""
        if not (self.latent or self.image):
            return {}
        latent = {"num_ws": G.num_ws, "w_dim": G.w_dim}
        return {"E": StyleGAN2Encoder(list(G.resolution), G.channels, **latent, **settings)}

    def losses(
        self, G: nn.Module, ws: Tensor, fake: Tensor, real: Tensor, step: Step
    ) -> dict[str, Tensor]:
        """L_w = latent E[(E(G(w)) - w)^2],   L_x = image E|G(E(x)) - x|_1

        Args:
            ws [N, num_ws, w_dim] and fake [N, C, H, W] = G(ws) with its graph; real [N, C, H, W].
        """
        losses: dict[str, Tensor] = {}
        if not isinstance(G, nn.ModuleDict) or "E" not in G or step.nimg < self.after:
            return losses
        if self.latent:
            error = at_least_float32(G["E"](fake)) - at_least_float32(ws).detach()
            losses["cycle_latent"] = self.latent * error.square().mean()
        if self.image:
            again = generator_of(G).synthesis(G["E"](real), noise_mode="const")
            losses["cycle_image"] = self.image * l1(again, real)
        return losses
