"""StyleGAN2's generator (Karras et al. 2020)."""

from torch import Tensor, nn

from gantrain.networks.spec import self_describing
from gantrain.networks.stylegan2.layers import NoiseMode
from gantrain.networks.stylegan2.mapping import MappingNetwork
from gantrain.networks.stylegan2.sizes import block_sizes
from gantrain.networks.stylegan2.synthesis import GeneratorArchitecture, SynthesisNetwork


@self_describing
class StyleGAN2Generator(nn.Module):
    """z [N, z_dim], labels c [N, label_dim] -> image [N, channels, H, W] about [-1, 1].

    The values are not bounded: clamp them when they become pixels.

    Args:
        resolution: [height, width] in pixels; see `block_sizes` for what is possible.
        channels: of the image.
        label_dim: 0: unconditional.
        z_dim, w_dim: sizes of the latents.
        mapping_layers: depth of the mapping network.
        channel_base, channel_max: width of the layers, min(channel_base // side, channel_max).
        architecture: how the image comes out of the blocks: "skip" (a sum over resolutions),
            "resnet" (residual blocks) or "orig" (the last block alone).
        half_resolutions: so many of the highest resolutions follow autocast, the rest stays in
            float32.
        conv_clamp: largest absolute feature there; None: no limit.
        w_avg_beta: how much of the mean w an update keeps.

    Raises:
        ConfigError: the resolution is impossible.

    Parameter names are those of the reference's checkpoints.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
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
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim,
            label_dim,
            w_dim,
            num_ws=self.num_ws,
            layers=mapping_layers,
            w_avg_beta=w_avg_beta,
        )

    def parts(self) -> list[nn.Module]:
        """What training calls, and so what is compiled: not `forward`."""
        return [self.mapping, self.synthesis]

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
        """The keywords are those of `MappingNetwork.forward` and `SynthesisNetwork.forward`."""
        ws = self.mapping(
            z,
            c,
            truncation_psi=truncation_psi,
            truncation_cutoff=truncation_cutoff,
            update_w_avg=update_w_avg,
        )
        return self.synthesis(ws, noise_mode)
