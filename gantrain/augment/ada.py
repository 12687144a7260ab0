"""How strongly to augment: adaptive discriminator augmentation (Karras et al. 2020, 2006.06676)."""

from typing import Any

import torch
from torch import Tensor, nn


class ADA(nn.Module):
    """Holds the augmentation probability `p` and steers r_t = E[sign(D(x))] towards `target`.

    Every `interval` steps: p <- clamp(p + sign(r_t - target) * images / (1000 kimg), 0, max_p),
    with r_t over the real images judged since. The bound keeps p from running away where
    augmentation cannot help, whence it would take as long to come back. r_t is read one interval
    late, when it has arrived from the device by itself.

    Args:
        target: None keeps p as it is.
        p: where it starts.
        kimg: how many thousand images it takes p at least to move by 1.
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
        self.register_buffer("seen", torch.zeros(2))  # sum of signs, images
        self._arriving: Tensor | None = None  # the last interval's `seen`, on its way to the host
        self._arrived: torch.cuda.Event | None = None

    def observe(self, logits: Tensor) -> None:
        """Count D's logits [N] on real images."""
        if self.target is not None:
            signs = logits.detach().float().sign().sum()
            self.seen += torch.stack([signs, torch.full_like(signs, len(logits))])

    def update(self, index: int, batch: int) -> None:
        """After the step number `index` of `batch` images."""
        if self.target is None or index % self.interval:
            return
        counted = self._read()
        if counted is not None and counted[1] > 0:
            error = counted[0] / counted[1] - self.target
            sign = (error > 0) - (error < 0)
            moved = self.p + sign * batch * self.interval / (self.kimg * 1000)
            self.p = min(max(moved, 0.0), self.max_p)
        on_cuda = self.seen.is_cuda  # elsewhere nothing would tell that the numbers are there
        self._arriving = self.seen.to("cpu", non_blocking=on_cuda, copy=True)
        if on_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(self.seen.device))
        self.seen.zero_()

    def _read(self) -> list[float] | None:
        if self._arriving is None:
            return None
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._arriving.tolist()

    def get_extra_state(self) -> dict[str, Any]:
        return {"p": self.p, "arriving": self._read()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if self.target is not None:  # a fixed p stays as configured
            self.p = min(state["p"], self.max_p)
        arriving = state["arriving"]
        self._arriving = None if arriving is None else torch.tensor(arriving)
        self._arrived = None
