"""StyleGAN2's discriminator (Karras et al. 2020)."""

from collections.abc import Iterable

from torch import Tensor, nn

from gantrain.errors import ConfigError, counted
from gantrain.networks.labels import LabelScale, require_labels
from gantrain.networks.layers import half_dtype, without_autocast
from gantrain.networks.sizes import block_sizes
from gantrain.networks.spec import self_describing
from gantrain.networks.stylegan2.mapping import LabelMapping
from gantrain.networks.stylegan2.trunk import (
    DiscriminatorArchitecture,
    DownBlock,
    Epilogue,
    down_blocks,
    run_blocks,
)
from gantrain.ops.precision import at_least_float32


@self_describing
class StyleGAN2Discriminator(nn.Module):
    """StyleGAN2's discriminator.

    With labels the logit is the projection of the image's features on the label's (Miyato and
    Koyama 2018, arXiv 1802.05637). Parameter names are those of the reference's checkpoints.

    Args:
        resolution, channels, label_dim, channel_base, channel_max, half_resolutions, conv_clamp,
            label_scale: as in `StyleGAN2Generator`.
        architecture: "resnet" (residual blocks), "skip" (every block reads the image, downsampled
            to its resolution) or "orig" (neither).
        mbstd_group, mbstd_channels: see `minibatch_stddev`.
        freeze_layers: number of layers, from the image on, that are not trained (Mo et al. 2020,
            arXiv 2002.10964, "Freeze the discriminator"): their weights become buffers. A block
            counts fromrgb (if it has one), conv0, conv1 and skip; 10 and 13 are good values for
            fine-tuning.

    Raises:
        ConfigError: no network exists for the resolution, or it has fewer layers to freeze.
    """

    def __init__(
        self,
        resolution: list[int],
        channels: int = 3,
        label_dim: int = 0,
        label_scale: LabelScale | None = None,
        *,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: DiscriminatorArchitecture = "resnet",
        half_resolutions: int = 4,
        conv_clamp: float | None = 256.0,
        mbstd_group: int = 4,
        mbstd_channels: int = 1,
        freeze_layers: int = 0,
    ) -> None:
        super().__init__()
        sizes = block_sizes(resolution, channel_base, channel_max, half_resolutions)
        self.resolution, self.channels = (sizes[-1].height, sizes[-1].width), channels
        self.label_dim, features = label_dim, sizes[0].channels
        blocks = down_blocks(sizes, channels, architecture, conv_clamp)
        # The blocks are direct children ("b256", "b128", ...), as in the checkpoints.
        self.names = list(blocks)
        for name, block in blocks.items():
            self.add_module(name, block)
        if label_dim:
            self.mapping = LabelMapping(label_dim, features, label_scale=label_scale)
        self.b4 = Epilogue(
            sizes[0],
            features if label_dim else 1,  # a vector to project, or the logit itself
            image_channels=channels if architecture == "skip" else 0,
            mbstd_group=mbstd_group,
            mbstd_channels=mbstd_channels,
        )
        _freeze(blocks.values(), freeze_layers)

    def forward(self, image: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the logits of images.

        Args:
            image: [N, channels, H, W] about [-1, 1].
            c: labels [N, label_dim]; None if the network is unconditional.

        Returns:
            [N], in float32 or wider.

        Raises:
            ValueError: the network is conditional and `c` is missing or has another width.
        """
        # Blocks choose their dtype themselves: only some resolutions run in half precision.
        half = half_dtype(image)
        with without_autocast(image):
            image = at_least_float32(image)
            x = self.b4(*run_blocks((getattr(self, name) for name in self.names), image, half))
            if not self.label_dim:
                # [N]: with [N, 1], an addition to [N] would broadcast to [N, N] without an error.
                return x[:, 0]
            embedding = self.mapping(require_labels(c, self.label_dim, image))
            # The root keeps the variance of the projection independent of its dimension.
            return (x * embedding).sum(dim=1) / embedding.shape[1] ** 0.5


def _freeze(blocks: Iterable[DownBlock], count: int) -> None:
    """Turn the weights and biases of the first `count` layers into buffers of the same names.

    Raises:
        ConfigError: there are fewer layers.
    """
    layers = [
        getattr(block, name)
        for block in blocks
        for name in ("fromrgb", "conv0", "conv1", "skip")
        if hasattr(block, name)
    ]
    if count > len(layers):
        raise ConfigError(
            f"model.freeze_d={count}: this discriminator has {counted(len(layers), 'layer')} to "
            "freeze; 10 and 13 are usual for large images."
        )
    for layer in layers[:count]:
        for name, parameter in list(layer.named_parameters()):
            # As buffers of the same names they stay in the state dict but leave the optimizer.
            delattr(layer, name)
            layer.register_buffer(name, parameter.detach())
        # Constant: they need not be averaged between ranks and microbatches.
        layer.constant_buffers = (*layer.constant_buffers, *dict(layer.named_buffers()))
