"""A cycle between latents and images: an encoder E that inverts StyleGAN's synthesis.

The second stage of experiment=stylegan_cycle: CycleGAN's cycle consistency (Zhu et al. 2017)
between the domain of images and the domain of w.
"""

from torch import Tensor, nn

from gantrain.gans.base import Batch, Step
from gantrain.gans.latents import generator_of
from gantrain.losses import l1
from gantrain.networks.stylegan2.encoder import StyleGAN2Encoder
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.ops.precision import at_least_float32


class LatentCycle:
    """The two cycle losses, their weights and when they start.

    Args:
        latent: weight of E[(E(G(w)) - w)^2]; the target w is held fixed.
        image: weight of E|G(E(x)) - x|_1.
        after_kimg: thousands of images before the losses start; until then E is not trained.
    """

    def __init__(self, latent: float, image: float, after_kimg: float) -> None:
        self.lambda_latent, self.lambda_image = latent, image
        self.start_nimg = round(after_kimg * 1000)

    def encoder(
        self, G: StyleGAN2Generator, *, channel_base: int, channel_max: int
    ) -> dict[str, nn.Module]:
        """Return {"E": an encoder for G's images} if a term has a weight, else {}.

        Args:
            G: the generator to invert.
            channel_base: width of the layers, as in `StyleGAN2Generator`.
            channel_max: upper bound of that width.
        """
        # Without a term nothing would train E; it would only cost memory and time.
        if not (self.lambda_latent or self.lambda_image):
            return {}
        encoder = StyleGAN2Encoder(
            list(G.resolution),
            G.channels,
            num_ws=G.num_ws,
            w_dim=G.w_dim,
            channel_base=channel_base,
            channel_max=channel_max,
        )
        return {"E": encoder}

    def prepare(self, batch: Batch, step: Step) -> Batch:
        """Return the entry "cycle" of the batch once the losses have started, see `Phase`."""
        has_losses = bool(self.lambda_latent or self.lambda_image)
        is_due = has_losses and step.nimg >= self.start_nimg
        return {"cycle": batch["image"].new_ones(())} if is_due else {}

    def losses(self, G: nn.Module, ws: Tensor, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """L_w = lambda_latent E[(E(G(w)) - w)^2],   L_x = lambda_image E|G(E(x)) - x|_1.

        Args:
            G: ModuleDict with "G" and "E".
            ws: [N, num_ws, w_dim].
            fake: G(ws) with its graph, [N, C, H, W].
            real: [N, C, H, W] in [-1, 1].

        Returns:
            Weighted scalar losses by name.
        """
        losses: dict[str, Tensor] = {}
        assert isinstance(G, nn.ModuleDict)
        if self.lambda_latent:
            # Detached: through the target, the mapping could lower the loss by shrinking w.
            error = at_least_float32(G["E"](fake)) - at_least_float32(ws).detach()
            losses["cycle_latent"] = self.lambda_latent * error.square().mean()
        if self.lambda_image:
            # Constant noise: with a random one, no w could reconstruct the image exactly.
            reconstruction = generator_of(G).synthesis(G["E"](real), noise_mode="const")
            losses["cycle_image"] = self.lambda_image * l1(reconstruction, real)
        return losses
