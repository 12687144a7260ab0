"""Translate images that do not fit into memory, in bands of rows, with exact results.

Instance norm needs statistics of the whole feature map, so independent tiles would show seams. Here
the layers are evaluated one after another, each over all bands: first the statistics of a layer's
output, then the next layer, which normalizes with them. Feature maps of a quarter of the image's
size or less are stored in files. Larger ones would take too much space and are recomputed when they
are needed, with as many extra rows around a band as the layers' receptive field requires. The
result equals that of the network on the whole image.
"""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from gantrain.engine.precision import Precision
from gantrain.errors import ConfigError
from gantrain.inference.row_streaming import (
    FeatureMapFile,
    LazyFeatureMap,
    Reader,
    RowOp,
    fuse_padding,
)
from gantrain.networks.resnet import ResnetBlock, ResnetGenerator
from gantrain.networks.unet import UnetGenerator, UnetLevel
from gantrain.ops.reflect import reflect_to_multiple
from gantrain.ops.value_range import to_float, to_uint8

Bandable: TypeAlias = ResnetGenerator | UnetGenerator
STORED_SCALE = 4  # feature maps at least this many times smaller than the image are stored


def translate_in_bands(network: Bandable, image: Tensor, precision: Precision, tile: int) -> Tensor:
    """Translate an image of any size in bands of about tile * tile pixels.

    Args:
        network: a generator in eval mode.
        image: [C, H, W], uint8 or float32 in [-1, 1].
        precision: device and precision.
        tile: sets the size of a band.

    Returns:
        [C', H, W] of the image's dtype.

    Raises:
        ConfigError: a temporary file cannot be written or read.
    """
    _, h, w = image.shape
    least = getattr(network, "least_side", network.size_multiple)
    padded = reflect_to_multiple(image[None], network.size_multiple, least)
    height, width = padded.shape[2:]
    result = torch.empty(network.out_channels, h, w, dtype=image.dtype)

    def write(a: int, rows: Tensor) -> None:
        cropped = rows[0, :, : max(0, h - a), :w]
        cropped = to_uint8(cropped) if image.dtype == torch.uint8 else cropped.float()
        result[:, a : a + cropped.shape[1]] = cropped

    translator = TiledTranslator(network, precision, rows=tile * tile // width)
    try:
        translator.translate(lambda a, b: to_float(padded[:, :, a:b]), height, width, write)
    except OSError as error:
        raise ConfigError(
            f"tile={tile} stores feature maps in temporary files, and one cannot be written or "
            f"read in {tempfile.gettempdir()} ({error.strerror or error}): free some space, or set "
            "the environment variable TMPDIR to a folder on a larger disk."
        ) from None
    return result


class TiledTranslator:
    """Evaluates a generator in bands of rows.

    Stores feature maps in temporary files in the folder TMPDIR: for a resnet 3 maps of its
    bottleneck, 48 ngf bytes per pixel of it (13 GB for 8192 x 8192 and ngf 64), for a U-Net half as
    much.

    Args:
        network: a generator in eval mode.
        precision: device and precision.
        rows: rows of the image per band, about.
    """

    def __init__(self, network: Bandable, precision: Precision, rows: int) -> None:
        self.network, self.precision, self.rows = network, precision, max(rows // 4, 1) * 4
        self.layers = list(
            network.model if isinstance(network, ResnetGenerator) else network.model.model
        )
        self.float32_layer = self.layers[-2]  # the one before tanh

    @torch.no_grad()
    def translate(
        self, pixels: Reader, h: int, w: int, write: Callable[[int, Tensor], None]
    ) -> None:
        """Translate an image.

        Args:
            pixels: returns rows a to b of the image, float [1, C, b - a, W] in [-1, 1].
            h: height, a multiple of the network's `size_multiple`.
            w: width, a multiple of the network's `size_multiple`.
            write: called with a and the rows of the result from a on, float32 [1, C', n, W].
        """
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="gantrain-bands-")
            self._folder = Path(stack.enter_context(folder))
            self._stack, self._count = stack, 0
            result = self._apply_all(LazyFeatureMap(self, pixels, h, w), self.layers)
            for a, b in result.bands():
                write(a, result.rows(a, b).float().cpu())

    def create_file(self, channels: int, h: int, w: int) -> FeatureMapFile:
        """Create a temporary file for a feature map [channels, h, w]."""
        self._count += 1
        file = FeatureMapFile(self._folder / f"{self._count}.bin", channels, h, w)
        self._stack.callback(file.close)
        return file

    def _apply(self, x: LazyFeatureMap, layer: RowOp | nn.Module) -> LazyFeatureMap:
        if isinstance(layer, RowOp):
            return x.then(layer)
        if isinstance(layer, ResnetBlock):
            return self._apply_block(x, layer)
        if isinstance(layer, UnetLevel):
            return self._apply_level(x, layer)
        assert isinstance(layer, nn.InstanceNorm2d)
        return x.instance_norm(layer.eps, store=_is_small(x))

    def _apply_all(self, x: LazyFeatureMap, layers: list[nn.Module]) -> LazyFeatureMap:
        """Apply layers; intermediate files are removed, those of x are kept."""
        current = x
        for layer in fuse_padding(layers):
            following = self._apply(current, layer)
            _close(file for file in current.files if file not in x.files + following.files)
            current = following
        return current

    def _apply_block(self, x: LazyFeatureMap, block: ResnetBlock) -> LazyFeatureMap:
        """Return x + f(x), stored in a new file."""
        branch = self._apply_all(x, list(block.conv_block))
        result = self.create_file(x.channels(), x.height, x.width)
        for a, b in x.bands():
            result.write(a, x.rows(a, b).float() + branch.rows(a, b))
        _close(branch.files)  # the caller closes those of x
        return x.with_source(result.read, result)

    def _apply_level(self, x: LazyFeatureMap, level: UnetLevel) -> LazyFeatureMap:
        """Return cat([x, f(x)]); small maps are stored in files."""
        x = x.stored() if _is_small(x) else x
        branch = self._apply_all(x, list(level.model))
        if _is_small(branch):
            stored = branch.stored()
            _close(file for file in branch.files if file not in x.files + stored.files)
            branch = stored

        def both(a: int, b: int) -> Tensor:
            return torch.cat([x.rows(a, b), branch.rows(a, b)], 1)

        return x.with_source(both, *dict.fromkeys(x.files + branch.files))


def _is_small(x: LazyFeatureMap) -> bool:
    return x.height * STORED_SCALE <= x.image_height


def _close(files: Iterable[FeatureMapFile]) -> None:
    for file in files:
        file.close()
