"""StyleGAN3's generator (Karras et al. 2021, arXiv 2106.12423)."""

from typing import Literal

from torch import Tensor, nn

from gantrain.networks.labels import LabelScale
from gantrain.networks.layers import half_dtype, without_autocast
from gantrain.networks.spec import self_describing
from gantrain.networks.stylegan2.mapping import MappingNetwork
from gantrain.networks.stylegan3.layers import FourierInput, SynthesisLayer, ToRGB
from gantrain.networks.stylegan3.plan import Signal, signals
from gantrain.ops.precision import at_least_float32

Config = Literal["t", "r"]
_OUTPUT_SCALE = 0.25  # lets the last layers work at the magnitude of all others


class SynthesisNetwork(nn.Module):
    """Synthesis network from ws to images: Fourier features, filtered layers, `ToRGB`.

    ws[0] moves the Fourier features, ws[i + 1] styles layer i.

    Args:
        plan: the outputs of the layers, the last one that of the `ToRGB`.
        w_dim: entries of w.
        config: "t" or "r", see `StyleGAN3Generator`.
        half_resolutions, conv_clamp, magnitude_beta: see `StyleGAN3Generator`.
    """

    def __init__(
        self,
        plan: list[Signal],
        w_dim: int,
        *,
        config: Config,
        half_resolutions: int,
        conv_clamp: float | None,
        magnitude_beta: float,
    ) -> None:
        super().__init__()
        self.input = FourierInput(w_dim, plan[0])
        shared = {"conv_clamp": conv_clamp, "magnitude_beta": magnitude_beta}
        kernel = 3 if config == "t" else 1
        self.names: list[str] = []
        self.may_be_half: list[bool] = []
        for i, (before, after) in enumerate(zip([plan[0], *plan], plan, strict=False)):
            layer: nn.Module
            if i == len(plan) - 1:
                layer = ToRGB(w_dim, before, after, **shared)
            else:
                layer = SynthesisLayer(
                    w_dim, before, after, kernel=kernel, radial=config == "r", **shared
                )
            name = f"L{i}_{after.size}_{after.channels}"
            self.add_module(name, layer)
            self.names.append(name)
            self.may_be_half.append(after.rate * 2**half_resolutions > plan[-1].size)
        self.num_ws = len(plan) + 1

    def forward(
        self,
        ws: Tensor,
        noise_mode: Literal["random", "const", "none"] = "none",
        *,
        transform: Tensor | None = None,
        update_magnitudes: bool = False,
    ) -> Tensor:
        """Synthesize images.

        Args:
            ws: [N, num_ws, w_dim].
            noise_mode: accepted as by StyleGAN2's; without effect, since there is no noise.
            transform: see `FourierInput`.
            update_magnitudes: whether to move the running means of the layers' inputs.

        Returns:
            [N, channels, H, W], about [-1, 1] but not bounded, in float32 or wider.
        """
        half = half_dtype(ws)
        with without_autocast(ws):
            all_ws = at_least_float32(ws).unbind(dim=1)
            full = all_ws[0].dtype
            x = self.input(all_ws[0], transform)
            for name, may_be_half, w in zip(self.names, self.may_be_half, all_ws[1:], strict=True):
                x = x.to(half if half is not None and may_be_half else full)
                x = getattr(self, name)(x, w, update_magnitudes)
            return x.to(full) * _OUTPUT_SCALE

    def modulation_weights(self) -> dict[int, Tensor]:
        """Return the affine weights [C, w_dim] that turn each w into its convolution's styles.

        By index in ws. The first w, that of the canvas, and the last, that of the `ToRGB`, have
        none.
        """
        layers = [getattr(self, name) for name in self.names[:-1]]
        affines = (layer.affine for layer in layers)
        return {i: affine.weight * affine.scale for i, affine in enumerate(affines, start=1)}


@self_describing
class StyleGAN3Generator(nn.Module):
    """StyleGAN3's generator: a mapping network and an alias-free synthesis network.

    Parameter names are those of the reference's checkpoints, without their constant filters.

    Args:
        resolution: [height, width] in pixels, a square with a power of 2 from 16 on as its side.
        channels, label_dim, label_scale, z_dim, w_dim: see `StyleGAN2Generator`.
        config: "t" moves equivariantly (3x3 convolutions), "r" also turns (1x1 convolutions, radial
            filters).
        mapping_layers: depth of the mapping network.
        num_layers: layers without the `ToRGB`.
        channel_base: a layer with the cutoff f_c has channel_base / (2 f_c) channels, ...
        channel_max: ... and no more than this.
        channel_factor: multiplies both; the paper has 2 for "r".
        half_resolutions: under autocast, layers of more than resolution / 2^this samples a side run
            in half precision.
        conv_clamp: largest absolute feature after the leaky ReLU; None: no limit.
        w_avg_beta, magnitude_beta: decays of the running means of w and of the layers' inputs.

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
        config: Config = "t",
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 2,
        num_layers: int = 14,
        channel_base: int = 32768,
        channel_max: int = 512,
        channel_factor: int = 1,
        half_resolutions: int = 4,
        conv_clamp: float | None = 256.0,
        w_avg_beta: float = 0.998,
        magnitude_beta: float = 0.999,
    ) -> None:
        super().__init__()
        self.resolution = (resolution[0], resolution[1])
        self.channels, self.label_dim = channels, label_dim
        self.z_dim, self.w_dim = z_dim, w_dim
        self.synthesis = SynthesisNetwork(
            signals(
                resolution,
                num_layers,
                channel_base * channel_factor,
                channel_max * channel_factor,
                channels,
            ),
            w_dim,
            config=config,
            half_resolutions=half_resolutions,
            conv_clamp=conv_clamp,
            magnitude_beta=magnitude_beta,
        )
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
        noise_mode: Literal["random", "const", "none"] = "none",
        transform: Tensor | None = None,
    ) -> Tensor:
        """Generate images from latents z.

        Args:
            z: [N, z_dim], standard normal.
            c: labels [N, label_dim]; None if the network is unconditional.
            truncation_psi: see `MappingNetwork.forward`.
            truncation_cutoff: see `MappingNetwork.forward`.
            noise_mode: see `SynthesisNetwork.forward`.
            transform: see `SynthesisNetwork.forward`.

        Returns:
            [N, channels, H, W], about [-1, 1] but not bounded: clamp when converting to pixels.
        """
        ws = self.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        return self.synthesis(ws, noise_mode, transform=transform)
