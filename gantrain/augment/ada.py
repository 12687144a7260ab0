"""Adaptive discriminator augmentation, ADA (Karras et al. 2020, arXiv 2006.06676)."""

from typing import Any

import torch
from torch import Tensor, nn


class ADA(nn.Module):
    """Controls the augmentation probability `p` to keep r_t = E[sign(D(x))] near `target`.

    After steps `interval`, 2 * `interval`, ... (counted from 1):
    p <- clamp(p + sign(r_t - target) * images / (1000 kimg), 0, max_p), with r_t over the real
    images of a window of `interval` steps. r_t is read one window late, when it has already been
    copied from the device, so nothing waits for it.

    Args:
        target: r_t to reach; None: p is constant.
        p: initial probability.
        kimg: thousands of images in which p can move by 1.
        interval: steps between two updates.
        max_p: upper bound of p. Without it p runs away where augmentation cannot help, and takes
            as long to come back.
    """

    seen: Tensor

    def __init__(
        self,
        target: float | None = 0.6,
        p: float = 0.0,
        kimg: float = 500.0,
        interval: int = 4,
        max_p: float = 0.8,
    ) -> None:
        super().__init__()
        self.target, self.p, self.kimg, self.interval, self.max_p = target, p, kimg, interval, max_p
        self.register_buffer("seen", torch.zeros(2))  # sum of signs, number of images
        self._host_copy: Tensor | None = None  # `seen` of the last interval, copied asynchronously
        self._copied: torch.cuda.Event | None = None

    def observe(self, logits: Tensor) -> None:
        """Accumulate D's logits [N] on real images."""
        if self.target is not None:
            signs = logits.detach().float().sign().sum()
            self.seen += torch.stack([signs, torch.full_like(signs, len(logits))])

    def update(self, index: int, batch: int) -> None:
        """Adjust p every `interval` steps.

        Args:
            index: number of the step that has just ended, from 0.
            batch: images per step.
        """
        if self.target is None or (index + 1) % self.interval:
            return
        sums = self._read_host_copy()
        if sums is not None and sums[1] > 0:
            # A ratio: that `seen` is averaged over microbatches and ranks scales both sums alike.
            error = sums[0] / sums[1] - self.target
            # The sign alone: p moves at a constant speed, however far r_t is from its target.
            sign = (error > 0) - (error < 0)
            p = self.p + sign * batch * self.interval / (self.kimg * 1000)
            self.p = min(max(p, 0.0), self.max_p)
        # Only CUDA has an event that says when an asynchronous copy is complete.
        on_cuda = self.seen.is_cuda
        self._host_copy = self.seen.to("cpu", non_blocking=on_cuda, copy=True)
        if on_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(self.seen.device))
        # Queued behind the copy, so it cannot overtake it.
        self.seen.zero_()

    def _read_host_copy(self) -> list[float] | None:
        if self._host_copy is None:
            return None
        if self._copied is not None:
            self._copied.synchronize()
        return self._host_copy.tolist()

    def get_extra_state(self) -> dict[str, Any]:
        """Return p and the sums of the last interval for the state dict."""
        # Waits for the copy: a resumed run has to adjust p by the same sums.
        return {"p": self.p, "arriving": self._read_host_copy()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the state; a constant p and the bound are those of the constructor."""
        if self.target is not None:
            self.p = min(state["p"], self.max_p)
        sums = state["arriving"]
        self._host_copy = None if sums is None else torch.tensor(sums)
        self._copied = None
