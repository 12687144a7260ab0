"""StyleGAN2's generator (Karras et al. 2020)."""

from torch import Tensor, nn

from gantrain.networks.labels import LabelScale
from gantrain.networks.sizes import block_sizes
from gantrain.networks.spec import self_describing
from gantrain.networks.stylegan2.layers import NoiseMode
from gantrain.networks.stylegan2.mapping import MappingNetwork
from gantrain.networks.stylegan2.synthesis import GeneratorArchitecture, SynthesisNetwork


@self_describing
class StyleGAN2Generator(nn.Module):
    """StyleGAN2's generator: a mapping network and a synthesis network.

    Parameter names are those of the reference's checkpoints.

    Args:
        resolution: [height, width] in pixels; see `block_sizes` for the possible ones.
        channels: channels of the image.
        label_dim: entries of a label; 0: unconditional.
        label_scale: [means, deviations] of labels that are numbers; None: labels are classes.
        z_dim, w_dim: entries of the latents z and w.
        mapping_layers: depth of the mapping network.
        channel_base, channel_max: a layer of side s has min(channel_base // s, channel_max)
            channels.
        architecture: how the blocks make the image: "skip" (a sum over resolutions), "resnet"
            (residual blocks) or "orig" (the last block alone).
        half_resolutions: number of the highest resolutions that follow autocast; the others stay in
            float32.
        conv_clamp: largest absolute feature in half precision; None: no limit.
        w_avg_beta: decay of the running mean of w.

    Raises:
        ConfigError: no network exists for the resolution.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        label_scale: LabelScale | None = None,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: GeneratorArchitecture = "skip",
        half_resolutions: int = 4,
        conv_clamp: float | None = 256.0,
        w_avg_beta: float = 0.995,
    ) -> None:
        super().__init__()
        sizes = block_sizes(resolution, channel_base, channel_max, half_resolutions)
        self.resolution = (sizes[-1].height, sizes[-1].width)
        self.channels, self.label_dim = channels, label_dim
        self.z_dim, self.w_dim = z_dim, w_dim
        self.synthesis = SynthesisNetwork(
            sizes, w_dim, channels, architecture=architecture, conv_clamp=conv_clamp
        )
        # The synthesis network comes first: its number of layers tells how many ws to map to. The
        # order of construction is also that of the random initial weights.
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim,
            label_dim,
            w_dim,
            num_ws=self.num_ws,
            layers=mapping_layers,
            w_avg_beta=w_avg_beta,
            label_scale=label_scale,
        )

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "random",
        update_w_avg: bool = False,
    ) -> Tensor:
        """Generate images from latents z.

        Args:
            z: [N, z_dim], standard normal.
            c: labels [N, label_dim]; None if the network is unconditional.
            truncation_psi: see `MappingNetwork.forward`.
            truncation_cutoff: see `MappingNetwork.forward`.
            noise_mode: see `SynthesisNetwork.forward`.
            update_w_avg: see `MappingNetwork.forward`.

        Returns:
            [N, channels, H, W], about [-1, 1] but not bounded: clamp when converting to pixels.
        """
        ws = self.mapping(
            z,
            c,
            truncation_psi=truncation_psi,
            truncation_cutoff=truncation_cutoff,
            update_w_avg=update_w_avg,
        )
        return self.synthesis(ws, noise_mode)
