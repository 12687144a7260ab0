"""A resnet generator over a picture too large for memory: band by band, and exactly.

Instance norm looks at a whole map, so a picture cut into tiles comes out with seams. Here the
layers are gone through one after another, each over all bands of rows: first the statistics of a
layer's whole output, then the next layer, which normalises with them. Maps of the bottleneck wait
in files; those of full size would be many times as large and are computed anew when needed, with as
many rows around a band as the layers reach. The result is that of the network on the whole picture.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.engine.precision import Precision
from gantrain.networks.layers import ReflectionPad
from gantrain.networks.resnet import ResnetBlock, ResnetGenerator
from gantrain.ops.mirror import mirror_to_multiple
from gantrain.ops.pixels import to_float, to_uint8

Rows = tuple[int, int]  # first row, row after the last
Reader = Callable[[int, int], Tensor]  # rows a to b of a map: [1, C, b - a, W]


def translate_in_bands(
    network: ResnetGenerator, image: Tensor, precision: Precision, tile: int
) -> Tensor:
    """[C, H, W] of any size -> [C', H, W], in bands of about tile * tile pixels.

    uint8 becomes uint8, float32 in [-1, 1] the same.
    """
    _, h, w = image.shape
    whole = mirror_to_multiple(image[None], network.size_multiple, network.least_side)
    height, width = whole.shape[2:]
    result = torch.empty(network.out_channels, h, w, dtype=image.dtype)

    def write(a: int, rows: Tensor) -> None:
        kept = rows[0, :, : max(0, h - a), :w]
        kept = to_uint8(kept) if image.dtype == torch.uint8 else kept.float()
        result[:, a : a + kept.shape[1]] = kept

    bands = Bands(network, precision, rows=tile * tile // width)
    bands.translate(lambda a, b: to_float(whole[:, :, a:b]), height, width, write)
    return result


@dataclass(frozen=True)
class Op:
    """A layer as a function of rows.

    kind: "conv", "up" (transposed convolution) or "each" (pixel by pixel).
    """

    kind: str
    layer: nn.Module
    reflect: int = 0  # rows and columns mirrored before a convolution

    def height(self, h: int) -> int:
        """Rows of the output for `h` rows of input."""
        if self.kind == "each":
            return h
        k, s, p = self._geometry()
        return h * s if self.kind == "up" else (h + 2 * (p + self.reflect) - k) // s + 1

    def needs(self, a: int, b: int, h: int) -> Rows:
        """Input rows (of `h`) that output rows a to b are made of."""
        if self.kind == "each":
            return a, b
        k, s, p = self._geometry()
        p += self.reflect
        if self.kind == "up":
            return max(0, -((k - 1 - p - a) // s)), min(h, (b - 1 + p) // s + 1)
        return max(0, a * s - p), min(h, (b - 1) * s - p + k)

    def apply(self, x: Tensor, c: int, a: int, b: int, h: int) -> Tensor:
        """Output rows a to b from x, the input rows from c on that `needs` told, of `h` in all."""
        if self.kind == "each":
            return self.layer(x)
        k, s, p = self._geometry()
        w, bias = self.layer.weight, self.layer.bias
        if self.kind == "up":
            y = F.conv_transpose2d(x, w, bias, s, (0, p), (0, s - 1))  # type: ignore[arg-type]
            first = c * s - p  # the output row that y begins with
            return y[:, :, a - first : b - first]
        side = p + self.reflect
        top = max(0, side - a * s)
        bottom = max(0, (b - 1) * s - side + k - h)
        padded = F.pad(x, (side, side, top, bottom), mode="reflect" if self.reflect else "constant")
        return F.conv2d(padded, w, bias, s)  # type: ignore[arg-type]

    def _geometry(self) -> tuple[int, int, int]:
        layer = self.layer
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        assert not isinstance(layer.padding, str)
        return layer.kernel_size[0], layer.stride[0], layer.padding[0]


class Normalise(nn.Module):
    """Instance norm with statistics [C] that are known."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = mean[:, None, None], 1 / deviation[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return (x.float() - self.mean) * self.scale


class Stored:
    """A map [C, H, W] in a file, row by row."""

    def __init__(self, path: Path, channels: int, h: int, w: int) -> None:
        self.path, self.shape = path, (channels, h, w)
        self._file = open(path, "w+b")  # noqa: SIM115  # closed with the stack in Bands

    def write(self, a: int, rows: Tensor) -> None:
        """[1, C, n, W] as the rows from a on."""
        c, _, w = self.shape
        self._file.seek(a * c * w * 4)
        self._file.write(rows[0].permute(1, 0, 2).contiguous().cpu().numpy().data)

    def read(self, a: int, b: int) -> Tensor:
        c, _, w = self.shape
        values = np.empty((b - a, c, w), np.float32)
        self._file.seek(a * c * w * 4)
        self._file.readinto(values.data)
        return torch.from_numpy(values).permute(1, 0, 2)[None]

    def close(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class Bands:
    """Evaluates `network` (in eval mode) in bands of about `rows` rows of the picture.

    Needs 3 maps of the bottleneck in temporary files: 48 ngf bytes a pixel, 13 GB for 8192 x 8192
    and ngf 64, in the folder that TMPDIR names.
    """

    def __init__(self, network: ResnetGenerator, precision: Precision, rows: int) -> None:
        self.network, self.precision, self.rows = network, precision, max(rows // 4, 1) * 4

    @torch.no_grad()
    def translate(
        self, pixels: Reader, h: int, w: int, write: Callable[[int, Tensor], None]
    ) -> None:
        """pixels: rows of the picture, float [1, C, n, W] in [-1, 1]; write(a, rows) takes the same
        of the result. h and w: multiples of 4."""
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="gantrain-bands-"))
            )
            self._stack, self._folder, self._count = stack, folder, 0
            chain = Chain(self, pixels, h, w)
            for layer in _layers(self.network):
                chain = self._after(chain, layer)
            for a, b in chain.bands():
                write(a, chain.rows(a, b).float().cpu())

    def _after(self, chain: "Chain", layer: Op | nn.Module) -> "Chain":
        if isinstance(layer, Op):
            return chain.then(layer)
        if isinstance(layer, ResnetBlock):
            return self._block(chain, layer)
        assert isinstance(layer, nn.InstanceNorm2d)
        return chain.normalised(layer.eps, keep=chain.height * 4 == chain.picture)

    def _block(self, x: "Chain", block: ResnetBlock) -> "Chain":
        """x + f(x), in a new file."""
        branch = x
        for layer in _paired(list(block.conv_block)):
            branch = self._after(branch, layer)
        result = self.store(x.channels(), x.height, x.width)
        for a, b in x.bands():
            result.write(a, (x.rows(a, b) + branch.rows(a, b)).float())
        for used in {*x.files, *branch.files}:
            used.close()
        return Chain(self, result.read, x.height, x.width, x.picture, files=(result,))

    def store(self, channels: int, h: int, w: int) -> Stored:
        self._count += 1
        stored = Stored(self._folder / f"{self._count}.bin", channels, h, w)
        self._stack.callback(stored.close)
        return stored


class Chain:
    """Layers on top of a map that can be read: what comes out, in any rows.

    height, width: of what comes out; picture: rows of the picture; files: what it reads from.
    """

    def __init__(
        self,
        bands: Bands,
        source: Reader,
        height: int,
        width: int,
        picture: int | None = None,
        ops: tuple[Op, ...] = (),
        files: tuple[Stored, ...] = (),
    ) -> None:
        self.owner, self.source, self.ops, self.files = bands, source, ops, files
        self.source_size = (height, width)
        self.picture = picture or height
        self.heights = [height]  # before each op, and at the end
        for op in ops:
            self.heights.append(op.height(self.heights[-1]))
        self.height = self.heights[-1]
        self.width = width * self.height // height

    def then(self, op: Op) -> "Chain":
        h, w = self.source_size
        return Chain(self.owner, self.source, h, w, self.picture, (*self.ops, op), self.files)

    def bands(self) -> Iterator[Rows]:
        """All rows of the output, in portions."""
        step = max(1, self.owner.rows * self.height // self.picture)
        for a in range(0, self.height, step):
            yield a, min(a + step, self.height)

    def rows(self, a: int, b: int) -> Tensor:
        """Rows a to b of the output, [1, C, b - a, W], on the device."""
        wanted = [(a, b)]
        for op, h in zip(reversed(self.ops), reversed(self.heights[:-1]), strict=True):
            wanted.append(op.needs(*wanted[-1], h))
        wanted.reverse()
        x = self.source(*wanted[0]).to(self.owner.precision.device)
        last = self.owner.network.model[-2]
        for op, h, own, after in zip(self.ops, self.heights, wanted, wanted[1:], strict=False):
            if op.layer is last:  # as in the network: the last convolution in float32
                x = op.apply(x.float(), own[0], *after, h)
                continue
            with self.owner.precision.autocast():
                x = op.apply(x, own[0], *after, h)
        return x

    def channels(self) -> int:
        return self.rows(0, 1).shape[1]

    def normalised(self, eps: float, keep: bool) -> "Chain":
        """With instance norm over the whole map; `keep`: the map is put into a file meanwhile."""
        stored = self.owner.store(self.channels(), self.height, self.width) if keep else None
        total = torch.zeros(2, self.channels(), dtype=torch.float64)
        for a, b in self.bands():
            x = self.rows(a, b).float()
            if stored:
                stored.write(a, x)
            values = x.double()
            total += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))]).cpu()
        mean, square = total / (self.height * self.width)
        deviation = (square - mean.square()).clamp(min=0).add(eps).sqrt()
        device = self.owner.precision.device
        norm = Op("each", Normalise(mean.float().to(device), deviation.float().to(device)))
        if stored is None:
            return self.then(norm)
        read, h, w = stored.read, self.height, self.width
        return Chain(self.owner, read, h, w, self.picture, (norm,), (stored,))


def _layers(network: ResnetGenerator) -> Iterator[Op | nn.Module]:
    yield from _paired(list(network.model))


def _paired(layers: list[nn.Module]) -> Iterator[Op | nn.Module]:
    """Padding and its convolution as one; layers of whole maps as they are."""
    reflect = 0
    for layer in layers:
        if isinstance(layer, ReflectionPad):
            reflect = layer.padding
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            yield Op("up" if isinstance(layer, nn.ConvTranspose2d) else "conv", layer, reflect)
            reflect = 0
        elif isinstance(layer, nn.InstanceNorm2d | ResnetBlock):
            yield layer
        elif not isinstance(layer, nn.Dropout):  # relu, tanh, batch norm in eval mode
            yield Op("each", layer)
