"""An encoder from images to the w of a StyleGAN2 generator."""

from torch import Tensor, nn

from gantrain.networks.layers import half_dtype, without_autocast
from gantrain.networks.sizes import block_sizes
from gantrain.networks.spec import self_describing
from gantrain.networks.stylegan2.trunk import Epilogue, down_blocks, run_blocks
from gantrain.ops.precision import at_least_float32


@self_describing
class StyleGAN2Encoder(nn.Module):
    """Image encoder: the residual discriminator without the minibatch standard deviation.

    Without statistics of the batch, the code of an image does not depend on the other images.

    Args:
        num_ws, w_dim: those of the generator.
        resolution, channels, channel_base, channel_max, half_resolutions, conv_clamp: as in
            `StyleGAN2Generator`.

    Raises:
        ConfigError: no network exists for the resolution.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        *,
        num_ws: int,
        w_dim: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        half_resolutions: int = 4,
        conv_clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        sizes = block_sizes(resolution, channel_base, channel_max, half_resolutions)
        self.resolution, self.channels = (sizes[-1].height, sizes[-1].width), channels
        self.num_ws, self.w_dim = num_ws, w_dim
        blocks = down_blocks(sizes, channels, "resnet", conv_clamp)
        self.names = list(blocks)
        for name, block in blocks.items():
            self.add_module(name, block)
        # One linear layer gives all ws at once, a different one for every layer of the generator.
        self.b4 = Epilogue(sizes[0], num_ws * w_dim, mbstd_channels=0)

    def forward(self, image: Tensor) -> Tensor:
        """Encode images [N, channels, H, W] about [-1, 1] as ws [N, num_ws, w_dim]."""
        # As in the discriminator: the blocks choose their dtype themselves.
        half = half_dtype(image)
        with without_autocast(image):
            blocks = (getattr(self, name) for name in self.names)
            x = self.b4(*run_blocks(blocks, at_least_float32(image), half))
        return x.unflatten(1, (self.num_ws, self.w_dim))
