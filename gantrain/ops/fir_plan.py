"""The geometry of FIR resampling, shared by the ways to compute it."""

from math import gcd
from typing import NamedTuple

Rows = tuple[tuple[float, ...], ...]


class Axis(NamedTuple):
    """How one axis is resampled: `up`, padding, a filter of length `taps`, `down`.

    With z[i up] = x[i], zeros elsewhere, output j is y[j] = sum_k kernel[k] z[j down + k - before].
    """

    taps: int
    up: int
    down: int
    before: int  # zeros in front of z and behind it; negative: samples to crop
    after: int

    def out_size(self, size: int) -> int:
        """Return the length of the output for an input of length `size`."""
        return (size * self.up + self.before + self.after - self.taps) // self.down + 1

    @property
    def period(self) -> int:
        """Outputs until the same taps hit samples, and not inserted zeros, again."""
        return self.up // gcd(self.up, self.down)

    def adjoint(self, size: int, out: int) -> "Axis":
        """Return the transposed linear map, from length `out` to `size`; the kernel is reversed.

        Sample i of the input reaches output j through tap k = i up - j down + before. Read from j
        to i, this is a resampling with up and down exchanged, the reversed kernel and
        taps - 1 - before zeros in front. Those at the end make the size come out right.
        """
        before = self.taps - 1 - self.before
        after = size * self.up - self.up + self.taps - out * self.down - before
        return Axis(self.taps, self.down, self.up, before, after)


class Plan(NamedTuple):
    """A resampling: `kernel` is correlated with the image, [y.taps][x.taps]."""

    kernel: Rows
    x: Axis
    y: Axis
    opaque: bool = False  # a single operation in a recording

    def out_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the output."""
        return self.y.out_size(height), self.x.out_size(width)

    def adjoint(self, size: tuple[int, int], out: tuple[int, int]) -> "Plan":
        """Return the transposed linear map, from `out` = (H', W') to `size` = (H, W)."""
        x, y = self.x.adjoint(size[1], out[1]), self.y.adjoint(size[0], out[0])
        return Plan(reverse(self.kernel), x, y, self.opaque)


def reverse(kernel: Rows) -> Rows:
    """Flip along both axes."""
    return tuple(row[::-1] for row in kernel[::-1])
