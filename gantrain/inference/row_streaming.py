"""Layers of a network over bands of rows: which rows of their input they need, and what comes out.

Maps are kept with their channels last, in memory and in files: on a CPU convolutions take half the
time so, and a band of a file is read as it lies there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.engine.precision import Precision
from gantrain.networks.layers import ReflectionPad

Rows = tuple[int, int]  # first row, row after the last
Reader = Callable[[int, int], Tensor]  # rows a to b of a map: [1, C, b - a, W]


@dataclass(frozen=True)
class RowOp:
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
        w = w.contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
        if self.kind == "up":  # twice as wide: what the layer adds at the right, and no rows
            more = self.layer.output_padding[1]  # type: ignore[index]
            y = F.conv_transpose2d(x, w, bias, s, (0, p), (0, more))  # type: ignore[arg-type]
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


def fuse_padding(layers: list[nn.Module]) -> Iterator[RowOp | nn.Module]:
    """Padding and its convolution as one; layers of whole maps and of layers as they are."""
    reflect = 0
    for layer in layers:
        if isinstance(layer, ReflectionPad):
            reflect = layer.padding
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            yield RowOp("up" if isinstance(layer, nn.ConvTranspose2d) else "conv", layer, reflect)
            reflect = 0
        elif isinstance(layer, nn.InstanceNorm2d) or any(layer.children()):
            yield layer
        elif not isinstance(layer, nn.Dropout | nn.Identity):  # relu, tanh, batch norm in eval mode
            yield RowOp("each", layer)


class Normalise(nn.Module):
    """Instance norm with statistics [C] that are known."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = mean[:, None, None], 1 / deviation[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return (x.float() - self.mean).mul_(self.scale)


class FeatureMapFile:
    """A map [C, H, W] in a file, row by row and pixel by pixel, float32."""

    def __init__(self, path: Path, channels: int, h: int, w: int) -> None:
        self.path, self.shape = path, (channels, h, w)
        self._file = open(path, "w+b")  # noqa: SIM115  # closed with the stack in Bands

    def write(self, a: int, rows: Tensor) -> None:
        """[1, C, n, W] as the rows from a on."""
        c, _, w = self.shape
        self._file.seek(a * c * w * 4)
        self._file.write(rows[0].permute(1, 2, 0).float().contiguous().cpu().numpy().data)

    def read(self, a: int, b: int) -> Tensor:
        c, _, w = self.shape
        values = np.empty((1, b - a, w, c), np.float32)
        self._file.seek(a * c * w * 4)
        self._file.readinto(values.data)
        return torch.from_numpy(values).permute(0, 3, 1, 2)

    def close(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class StreamContext(Protocol):
    """What chains need of who evaluates them.

    rows: of the picture, in a band; last: the layer that is computed in float32 whatever the rest.
    """

    precision: Precision
    rows: int
    last: nn.Module

    def store(self, channels: int, h: int, w: int) -> FeatureMapFile: ...


class LazyFeatureMap:
    """Layers on top of a map that can be read: what comes out, in any rows.

    height, width: of what comes out; picture: rows of the picture; files: what it reads from.
    """

    def __init__(
        self,
        place: StreamContext,
        source: Reader,
        height: int,
        width: int,
        picture: int | None = None,
        ops: tuple[RowOp, ...] = (),
        files: tuple[FeatureMapFile, ...] = (),
    ) -> None:
        self.place, self.source, self.ops, self.files = place, source, ops, files
        self.source_size = (height, width)
        self.picture = picture or height
        self.heights = [height]  # before each op, and at the end
        for op in ops:
            self.heights.append(op.height(self.heights[-1]))
        self.height = self.heights[-1]
        self.width = width * self.height // height

    def then(self, op: RowOp) -> "LazyFeatureMap":
        h, w = self.source_size
        return LazyFeatureMap(
            self.place, self.source, h, w, self.picture, (*self.ops, op), self.files
        )

    def on(
        self, source: Reader, *files: FeatureMapFile, ops: tuple[RowOp, ...] = ()
    ) -> "LazyFeatureMap":
        """A map of the same size that is read elsewhere."""
        return LazyFeatureMap(self.place, source, self.height, self.width, self.picture, ops, files)

    def bands(self) -> Iterator[Rows]:
        """All rows of the output, in portions."""
        step = max(1, self.place.rows * self.height // self.picture)
        for a in range(0, self.height, step):
            yield a, min(a + step, self.height)

    def rows(self, a: int, b: int) -> Tensor:
        """Rows a to b of the output, [1, C, b - a, W], on the device."""
        wanted = [(a, b)]
        for op, h in zip(reversed(self.ops), reversed(self.heights[:-1]), strict=True):
            wanted.append(op.needs(*wanted[-1], h))
        wanted.reverse()
        x = self.source(*wanted[0]).to(self.place.precision.device)
        x = x.contiguous(memory_format=torch.channels_last)
        for op, h, own, after in zip(self.ops, self.heights, wanted, wanted[1:], strict=False):
            if op.layer is self.place.last:  # as in the network: outside autocast
                x = op.apply(x.float(), own[0], *after, h)
                continue
            with self.place.precision.autocast():
                x = op.apply(x, own[0], *after, h)
        return x

    def channels(self) -> int:
        return self.rows(0, 1).shape[1]

    def normalised(self, eps: float, keep: bool) -> "LazyFeatureMap":
        """With instance norm over the whole map; `keep`: the map is put into a file meanwhile."""
        channels = self.channels()
        stored = self.place.store(channels, self.height, self.width) if keep else None
        total = torch.zeros(2, channels, dtype=torch.float64)
        for a, b in self.bands():
            x = self.rows(a, b).float()
            if stored:
                stored.write(a, x)
            for i in range(0, b - a, 16):  # float64 copies of a few rows only
                part = x[:, :, i : i + 16].double()
                total[0] += part.sum((0, 2, 3)).cpu()
                total[1] += part.square_().sum((0, 2, 3)).cpu()
        mean, square = total / (self.height * self.width)
        deviation = (square - mean.square()).clamp(min=0).add(eps).sqrt()
        device = self.place.precision.device
        norm = RowOp("each", Normalise(mean.float().to(device), deviation.float().to(device)))
        return self.on(stored.read, stored, ops=(norm,)) if stored else self.then(norm)

    def kept(self) -> "LazyFeatureMap":
        """Put into a file, unless what is left to compute is done pixel by pixel."""
        if all(op.kind == "each" for op in self.ops):
            return self
        stored = self.place.store(self.channels(), self.height, self.width)
        for a, b in self.bands():
            stored.write(a, self.rows(a, b))
        return self.on(stored.read, stored)
