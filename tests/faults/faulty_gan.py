"""CycleGAN with a rank that goes wrong in a way of its own."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Literal

from torch import Tensor

from gantrain.gans.base import Batch, ImageSpec, Step
from gantrain.gans.cyclegan import CycleGAN


class FaultyGAN(CycleGAN):
    """At step 3, rank 1 dies without a word, hangs, raises, computes NaN, or changes a weight."""

    def __init__(
        self,
        images: ImageSpec,
        *,
        fault: Literal["kill", "hang", "raise", "not_finite", "drift"],
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
        if bad and self.fault == "drift":
            next(self.D.parameters()).data.add_(1e-6)
        for losses in super().generator_losses(batch, step):
            factor = float("nan") if bad and self.fault == "not_finite" else 1.0
            yield {name: loss * factor for name, loss in losses.items()}
