"""Evaluate layers of a network on bands of rows.

Feature maps have their channels last, in memory and in files: convolutions on a CPU take half the
time, and a band of a file can be read as it is stored.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.engine.precision import Precision
from gantrain.networks.eval_mode import BatchNorm
from gantrain.networks.layers import InstanceNorm, ReflectionPad, without_autocast
from gantrain.networks.resampling import BlurDown, BlurUp
from gantrain.ops.fir import upfirdn2d

Rows = tuple[int, int]  # first row, row after the last
Reader = Callable[[int, int], Tensor]  # (a, b) -> rows a to b of a feature map, [1, C, b - a, W]


@dataclass(frozen=True)
class RowOp:
    """A layer that can be evaluated on some of its rows.

    Args:
        kind: "conv", "up" (transposed convolution), "blur" (to half the size), "double" (by pixels
            and their neighbours) or "each" (pixel by pixel).
        layer: the layer.
        reflect: pixels of reflection padding before a convolution.
    """

    kind: Literal["conv", "up", "blur", "double", "each"]
    layer: nn.Module
    reflect: int = 0

    def output_height(self, h: int) -> int:
        """Return the rows of the output for `h` rows of input."""
        if self.kind in ("each", "double"):
            return 2 * h if self.kind == "double" else h
        k, s, p = self._geometry()
        return h * s if self.kind == "up" else (h + 2 * (p + self.reflect) - k) // s + 1

    def input_rows(self, a: int, b: int, h: int) -> Rows:
        """Return the input rows, of `h` rows in all, that output rows a to b depend on.

        Args:
            a: first output row.
            b: output row after the last.
            h: rows of the whole input.

        Returns:
            (first input row, row after the last), within 0 and h.
        """
        if self.kind == "each":
            return a, b
        if self.kind == "double":  # outputs 2i and 2i + 1 see rows i - 1 to i + 1 at most
            return max(0, (a - 1) // 2), min(h, b // 2 + 1)
        k, s, p = self._geometry()
        p += self.reflect
        if self.kind == "up":
            return max(0, -((k - 1 - p - a) // s)), min(h, (b - 1 + p) // s + 1)
        return max(0, a * s - p), min(h, (b - 1) * s - p + k)

    def apply(self, x: Tensor, c: int, a: int, b: int, h: int) -> Tensor:
        """Compute output rows a to b.

        Args:
            x: the rows from `input_rows`, [1, C, n, W].
            c: number of the first of them.
            a: first output row.
            b: output row after the last.
            h: rows of the whole input.

        Returns:
            [1, C', b - a, W'].
        """
        if self.kind == "each":
            return self.layer(x)
        if self.kind == "double":
            # Within the image, the border that the layer repeats belongs to rows that are cropped.
            return self.layer(x)[:, :, a - 2 * c : b - 2 * c]
        k, s, p = self._geometry()
        # Rows are padded only where the band touches the border of the image.
        side = p + self.reflect
        top = max(0, side - a * s)
        bottom = max(0, (b - 1) * s - side + k - h)
        if isinstance(self.layer, BlurDown):
            right = self.layer.after
            with without_autocast(x):
                padded = F.pad(x, (side, right, top, bottom), mode="reflect")
                return upfirdn2d(padded, self.layer.taps, down=s)
        w, bias = self.layer.weight, self.layer.bias
        w = w.contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
        if self.kind == "up":
            # Columns are padded as in the layer; rows are not, but cropped below.
            extra = self.layer.output_padding[1]  # type: ignore[index]
            y = F.conv_transpose2d(x, w, bias, s, (0, p), (0, extra))  # type: ignore[arg-type]
            first = c * s - p  # the output row that y begins with
            return y[:, :, a - first : b - first]
        padded = F.pad(x, (side, side, top, bottom), mode="reflect" if self.reflect else "constant")
        return F.conv2d(padded, w, bias, s)  # type: ignore[arg-type]

    def _geometry(self) -> tuple[int, int, int]:
        """Return kernel size, stride and padding."""
        layer = self.layer
        if isinstance(layer, BlurDown):
            return len(layer.taps), 2, layer.before
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        assert not isinstance(layer.padding, str)
        return layer.kernel_size[0], layer.stride[0], layer.padding[0]


def fuse_padding(layers: list[nn.Module]) -> Iterator[RowOp | nn.Module]:
    """Yield layers as operations on rows, padding merged into its convolution.

    Instance norms and layers that contain layers are yielded unchanged.
    """
    reflect = 0
    for layer in layers:
        if isinstance(layer, ReflectionPad):
            reflect = layer.padding
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            yield RowOp("up" if isinstance(layer, nn.ConvTranspose2d) else "conv", layer, reflect)
            reflect = 0
        elif isinstance(layer, BlurDown):
            yield RowOp("blur", layer)
        elif isinstance(layer, BlurUp | nn.Upsample):
            yield RowOp("double", layer)
        elif isinstance(layer, nn.InstanceNorm2d) or any(layer.children()):
            yield layer
        elif isinstance(layer, BatchNorm) and layer.per_image:
            yield InstanceNorm(layer.num_features, layer.eps)
            yield RowOp("each", Affine(layer.weight, layer.bias))
        # Dropout is off, and batch norm with running statistics acts pixel by pixel.
        elif not isinstance(layer, nn.Dropout | nn.Identity):
            yield RowOp("each", layer)


class Affine(nn.Module):
    """Batch norm's scale [C] and shift [C]."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = scale[:, None, None], shift[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        return x * self.scale + self.shift


class Normalize(nn.Module):
    """Normalization with given statistics.

    Args:
        mean: [C].
        deviation: standard deviation [C].
    """

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = mean[:, None, None], 1 / deviation[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> float32 [N, C, H, W]."""
        return (x.float() - self.mean).mul_(self.scale)


class FeatureMapFile:
    """A feature map [C, H, W] in a file: float32, row by row and pixel by pixel.

    Args:
        path: the file, which is created.
        channels: C.
        h: height.
        w: width.
    """

    def __init__(self, path: Path, channels: int, h: int, w: int) -> None:
        self.path, self.shape = path, (channels, h, w)
        self._file = open(path, "w+b")  # noqa: SIM115  # closed by TiledTranslator's stack

    def write(self, a: int, rows: Tensor) -> None:
        """Write [1, C, n, W] as the rows from a on.

        Args:
            a: first row.
            rows: on any device.
        """
        c, _, w = self.shape
        self._file.seek(a * c * w * 4)
        self._file.write(rows[0].permute(1, 2, 0).float().contiguous().cpu().numpy().data)

    def read(self, a: int, b: int) -> Tensor:
        """Read rows a to b, [1, C, b - a, W].

        Args:
            a: first row.
            b: row after the last.
        """
        c, _, w = self.shape
        values = np.empty((1, b - a, w, c), np.float32)
        self._file.seek(a * c * w * 4)
        self._file.readinto(values.data)
        return torch.from_numpy(values).permute(0, 3, 1, 2)

    def close(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class StreamContext(Protocol):
    """The settings of an evaluation in bands, and its files.

    Attributes:
        precision: device and precision.
        rows: rows of the image per band.
        float32_layer: the layer that is computed in float32 whatever the precision.
    """

    precision: Precision
    rows: int
    float32_layer: nn.Module

    def create_file(self, channels: int, h: int, w: int) -> FeatureMapFile:
        """Create a temporary file for a feature map [channels, h, w]."""
        ...


class LazyFeatureMap:
    """A feature map of which any rows can be computed: a source of rows and layers on top of it.

    Attributes:
        height, width: size of the map.
        image_height: height of the image that the network translates.
        files: the files that the source reads.

    Args:
        context: settings and files.
        source: returns rows of the source.
        height, width: size of the source.
        image_height: None: the source is the image.
        ops: the layers.
        files: the files that the source reads.
    """

    def __init__(
        self,
        context: StreamContext,
        source: Reader,
        height: int,
        width: int,
        image_height: int | None = None,
        ops: tuple[RowOp, ...] = (),
        files: tuple[FeatureMapFile, ...] = (),
    ) -> None:
        self.context, self.source, self.ops, self.files = context, source, ops, files
        self.source_size = (height, width)
        self.image_height = image_height or height
        self.heights = [height]  # before each op, and after the last
        for op in ops:
            self.heights.append(op.output_height(self.heights[-1]))
        self.height = self.heights[-1]
        self.width = width * self.height // height

    def then(self, op: RowOp) -> "LazyFeatureMap":
        """Return this map with one more layer on top."""
        h, w = self.source_size
        ops = (*self.ops, op)
        return LazyFeatureMap(self.context, self.source, h, w, self.image_height, ops, self.files)

    def with_source(
        self, source: Reader, *files: FeatureMapFile, ops: tuple[RowOp, ...] = ()
    ) -> "LazyFeatureMap":
        """Return a map of this size with another source.

        Args:
            source: returns rows of the source.
            files: the files that it reads.
            ops: layers on top of it.
        """
        return LazyFeatureMap(
            self.context, source, self.height, self.width, self.image_height, ops, files
        )

    def bands(self) -> Iterator[Rows]:
        """Yield the bands (a, b) that cover all rows of the map."""
        step = max(1, self.context.rows * self.height // self.image_height)
        for a in range(0, self.height, step):
            yield a, min(a + step, self.height)

    def rows(self, a: int, b: int) -> Tensor:
        """Compute rows a to b of the map, [1, C, b - a, W], on the device.

        Args:
            a: first row.
            b: row after the last.
        """
        # The rows of each layer's input and of the last layer's output, found from the top down.
        ranges = [(a, b)]
        for op, h in zip(reversed(self.ops), reversed(self.heights[:-1]), strict=True):
            ranges.append(op.input_rows(*ranges[-1], h))
        ranges.reverse()
        x = self.source(*ranges[0]).to(self.context.precision.device)
        x = x.contiguous(memory_format=torch.channels_last)
        for op, h, source, result in zip(self.ops, self.heights, ranges, ranges[1:], strict=False):
            if op.layer is self.context.float32_layer:  # outside autocast, as in the network
                x = op.apply(x.float(), source[0], *result, h)
                continue
            with self.context.precision.autocast():
                x = op.apply(x, source[0], *result, h)
        return x

    def channels(self) -> int:
        """Return the number of channels, by computing one row."""
        return self.rows(0, 1).shape[1]

    def instance_norm(self, eps: float, store: bool) -> "LazyFeatureMap":
        """Return this map with instance norm on top, after computing its statistics.

        Args:
            eps: added to the variance.
            store: whether to store the map in a file on the way.
        """
        channels = self.channels()
        file = self.context.create_file(channels, self.height, self.width) if store else None
        total = torch.zeros(2, channels, dtype=torch.float64)  # of the values and their squares
        for a, b in self.bands():
            x = self.rows(a, b).float()
            if file:
                file.write(a, x)
            for i in range(0, b - a, 16):  # float64 copies of only a few rows
                part = x[:, :, i : i + 16].double()
                total[0] += part.sum((0, 2, 3)).cpu()
                total[1] += part.square_().sum((0, 2, 3)).cpu()
        mean, square = total / (self.height * self.width)
        deviation = (square - mean.square()).clamp(min=0).add(eps).sqrt()
        device = self.context.precision.device
        norm = RowOp("each", Normalize(mean.float().to(device), deviation.float().to(device)))
        return self.with_source(file.read, file, ops=(norm,)) if file else self.then(norm)

    def stored(self) -> "LazyFeatureMap":
        """Return this map stored in a file, unless its layers only act pixel by pixel."""
        if all(op.kind == "each" for op in self.ops):
            return self
        file = self.context.create_file(self.channels(), self.height, self.width)
        for a, b in self.bands():
            file.write(a, self.rows(a, b))
        return self.with_source(file.read, file)
