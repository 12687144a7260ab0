"""CycleGAN with a rank that goes wrong in a way of its own."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from gantrain.gans.base import Batch, ImageSpec, Step
from gantrain.gans.cyclegan import CycleGAN


class FaultyGAN(CycleGAN):
    """At step 3, rank 1 dies without a word, hangs, raises, computes NaN, or changes a weight; or
    it (or the only process) has no memory for more than one image."""

    def __init__(
        self,
        images: ImageSpec,
        *,
        fault: Literal["kill", "hang", "raise", "not_finite", "drift", "memory"],
        **settings: Any,
    ) -> None:
        super().__init__(images, **settings)
        self.fault = fault

    def generator_losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        bad = step.index == 3 and os.environ.get("RANK") == "1"
        if bad and self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if bad and self.fault == "hang":
            while True:
                time.sleep(1000)
        if bad and self.fault == "raise":
            raise RuntimeError("the picture of the 1st rank is upside down")
        last = step.index == 3 and os.environ.get("RANK", "1") == "1"
        if last and self.fault == "memory" and len(batch["a"]) > 1:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
                "79.10 GiB of which 1.20 GiB is free. Including non-PyTorch memory, this process "
                "has 77.90 GiB memory in use. See PYTORCH_ALLOC_CONF."
            )
        if bad and self.fault == "drift":
            next(self.D.parameters()).data.add_(1e-6)
        for losses in super().generator_losses(batch, step):
            factor = float("nan") if bad and self.fault == "not_finite" else 1.0
            yield {name: loss * factor for name, loss in losses.items()}
