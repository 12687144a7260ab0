"""A generator over a picture too large for memory: band by band, and exactly.

Instance norm looks at a whole map, so a picture cut into tiles comes out with seams. Here the
layers are gone through one after another, each over all bands of rows: first the statistics of a
layer's whole output, then the next layer, which normalises with them. Maps of a quarter of the size
and less wait in files; larger ones would be many times as large and are computed anew when needed,
with as many rows around a band as the layers reach. The result is that of the network on the whole
picture.
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
KEPT = 4  # times smaller than the picture, or more: maps that wait in files


def translate_in_bands(network: Bandable, image: Tensor, precision: Precision, tile: int) -> Tensor:
    """[C, H, W] of any size -> [C', H, W], in bands of about tile * tile pixels.

    uint8 becomes uint8, float32 in [-1, 1] the same. Raises ConfigError where the temporary files
    find no room.
    """
    _, h, w = image.shape
    least = getattr(network, "least_side", network.size_multiple)
    whole = reflect_to_multiple(image[None], network.size_multiple, least)
    height, width = whole.shape[2:]
    result = torch.empty(network.out_channels, h, w, dtype=image.dtype)

    def write(a: int, rows: Tensor) -> None:
        kept = rows[0, :, : max(0, h - a), :w]
        kept = to_uint8(kept) if image.dtype == torch.uint8 else kept.float()
        result[:, a : a + kept.shape[1]] = kept

    bands = TiledTranslator(network, precision, rows=tile * tile // width)
    try:
        bands.translate(lambda a, b: to_float(whole[:, :, a:b]), height, width, write)
    except OSError as error:
        raise ConfigError(
            f"tile={tile} keeps maps in temporary files, and one cannot be written or read in "
            f"{tempfile.gettempdir()} ({error.strerror or error}): make room, or let the "
            "environment variable TMPDIR name a folder on a larger disk."
        ) from None
    return result


class TiledTranslator:
    """Evaluates `network` (in eval mode) in bands of about `rows` rows of the picture.

    Needs temporary files in the folder that TMPDIR names: a resnet 3 maps of its bottleneck, 48 ngf
    bytes a pixel of it (13 GB for 8192 x 8192 and ngf 64), a U-Net half of that.
    """

    def __init__(self, network: Bandable, precision: Precision, rows: int) -> None:
        self.network, self.precision, self.rows = network, precision, max(rows // 4, 1) * 4
        self.layers = list(
            network.model if isinstance(network, ResnetGenerator) else network.model.model
        )
        self.last = self.layers[-2]  # before tanh

    @torch.no_grad()
    def translate(
        self, pixels: Reader, h: int, w: int, write: Callable[[int, Tensor], None]
    ) -> None:
        """pixels: rows of the picture, float [1, C, n, W] in [-1, 1]; write(a, rows) takes the same
        of the result. h and w: multiples of the network's `size_multiple`."""
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="gantrain-bands-")
            self._folder = Path(stack.enter_context(folder))
            self._stack, self._count = stack, 0
            chain = self._through(LazyFeatureMap(self, pixels, h, w), self.layers)
            for a, b in chain.bands():
                write(a, chain.rows(a, b).float().cpu())

    def store(self, channels: int, h: int, w: int) -> FeatureMapFile:
        self._count += 1
        stored = FeatureMapFile(self._folder / f"{self._count}.bin", channels, h, w)
        self._stack.callback(stored.close)
        return stored

    def _after(self, chain: LazyFeatureMap, layer: RowOp | nn.Module) -> LazyFeatureMap:
        if isinstance(layer, RowOp):
            return chain.then(layer)
        if isinstance(layer, ResnetBlock):
            return self._block(chain, layer)
        if isinstance(layer, UnetLevel):
            return self._level(chain, layer)
        assert isinstance(layer, nn.InstanceNorm2d)
        return chain.normalised(layer.eps, keep=_small(chain))

    def _through(self, x: LazyFeatureMap, layers: list[nn.Module]) -> LazyFeatureMap:
        """f(x); files that only served on the way are removed, those of x are not."""
        chain = x
        for layer in fuse_padding(layers):
            after = self._after(chain, layer)
            _close(file for file in chain.files if file not in x.files + after.files)
            chain = after
        return chain

    def _block(self, x: LazyFeatureMap, block: ResnetBlock) -> LazyFeatureMap:
        """x + f(x), in a new file."""
        branch = self._through(x, list(block.conv_block))
        result = self.store(x.channels(), x.height, x.width)
        for a, b in x.bands():
            result.write(a, x.rows(a, b).float() + branch.rows(a, b))
        _close(branch.files)  # those of x are closed by who gave it
        return x.on(result.read, result)

    def _level(self, x: LazyFeatureMap, level: UnetLevel) -> LazyFeatureMap:
        """cat([x, f(x)]), f(x) in a file if it is small."""
        x = x.kept() if _small(x) else x
        branch = self._through(x, list(level.model))
        if _small(branch):
            kept = branch.kept()
            _close(file for file in branch.files if file not in x.files + kept.files)
            branch = kept

        def both(a: int, b: int) -> Tensor:
            return torch.cat([x.rows(a, b), branch.rows(a, b)], 1)

        return x.on(both, *dict.fromkeys(x.files + branch.files))


def _small(chain: LazyFeatureMap) -> bool:
    return chain.height * KEPT <= chain.picture


def _close(files: Iterable[FeatureMapFile]) -> None:
    for file in files:
        file.close()
