"""Anti-aliased resampling by fixed filters (Zhang 2019, arXiv 1904.11486, as in CUT)."""

import torch
from torch import Tensor, nn

from gantrain.networks.layers import without_autocast
from gantrain.ops.fir import upfirdn2d
from gantrain.ops.reflect import reflect_pad_sides


class _Blur(nn.Module):
    """A resampling with a binomial filter, whose kernel is a buffer as in reference checkpoints.

    Args:
        channels: of the input and the output.
        taps: the filter along one axis; its outer product with itself is the kernel.
        gain: the kernel's sum.
    """

    constant_buffers = ("filt",)
    filt: Tensor

    def __init__(self, channels: int, taps: list[int], gain: float) -> None:
        super().__init__()
        line = torch.tensor(taps, dtype=torch.float32)
        kernel = torch.outer(line, line)
        kernel *= gain / kernel.sum()
        self.register_buffer("filt", kernel.expand(channels, 1, -1, -1).clone())
        self.taps, self.gain = [tap / sum(taps) for tap in taps], gain

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        # The taps are constants, and the buffer has to agree with them: another filter would be
        # ignored silently.
        saved = state_dict.get(f"{prefix}filt")
        if saved is not None and not torch.allclose(saved.to(self.filt), self.filt, atol=1e-6):
            raise RuntimeError(f"{prefix}filt is not the filter [{self.extra_repr()}]")
        super()._load_from_state_dict(state_dict, prefix, *args)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Return the taps, shown when the module is printed."""
        return ", ".join(f"{tap:g}" for tap in self.taps)


class BlurDown(_Blur):
    """Halve a map: reflection padding, a binomial filter, every second pixel.

    Args:
        channels: channels of the map.
        taps: length of the filter; the paper's default of 3 is [1, 2, 1] / 4.
    """

    def __init__(self, channels: int, taps: int = 3) -> None:
        line = [1]
        for _ in range(taps - 1):  # Pascal's triangle
            line = [a + b for a, b in zip([0, *line], [*line, 0], strict=True)]
        super().__init__(channels, line, gain=1.0)
        self.before, self.after = (taps - 1) // 2, taps // 2

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, channels, ceil(H / 2), ceil(W / 2)]."""
        with without_autocast(x):  # which would pad in float32
            padded = reflect_pad_sides(x, self.before, self.after, self.before, self.after)
            return upfirdn2d(padded, self.taps, down=2)


class BlurUp(_Blur):
    """Double a map with [1, 3, 3, 1] / 4 along each axis, the border repeated.

    Pixels of the result are 1/4 x[i - 1] + 3/4 x[i] and 3/4 x[i] + 1/4 x[i + 1]: bilinear
    interpolation.

    Args:
        channels: channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, [1, 3, 3, 1], gain=4.0)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, channels, 2 H, 2 W]."""
        # By slices: the backward pass of CUDA's replication padding adds in no fixed order.
        x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
        x = torch.cat([x[..., :1], x, x[..., -1:]], 3)
        with without_autocast(x):
            # -1: with no padding of its own, the filter ends one pixel behind the last output.
            return upfirdn2d(x, self.taps, up=2, padding=(0, -1, 0, -1), gain=self.gain)
