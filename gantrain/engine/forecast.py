"""How long a training will take, known before its first step is done."""

import copy
import time
from contextlib import nullcontext

from gantrain.engine import seeding
from gantrain.engine.gradients import backpropagate, prepare
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, Batch, Step

DAY = 24 * 3600


def seconds_per_image(gan: GAN, images: Batch, precision: Precision) -> float:
    """Time the losses and gradients of every phase, amortized over the steps between two of them.

    The GAN and the random state are left alone. The optimizers are not counted.

    Args:
        gan: the model, on its device.
        images: a small batch for one microbatch.
        precision: the device, and autocast for forward passes.
    """
    twin, batch, step, seconds = copy.deepcopy(gan), dict(images), Step(0, 0), 0.0
    with seeding.stream(0, "forecast"):
        for phase in twin.phases():
            start = time.perf_counter()
            for name, player in twin.players().items():
                player.requires_grad_(name in phase.players)
            forward = nullcontext if phase.full_precision else precision.autocast
            prepared = prepare(phase, batch, step)
            backpropagate(phase, batch, prepared, step, 1.0, forward)
            seconds += (time.perf_counter() - start) / phase.interval
    return seconds / len(next(iter(images.values())))


def advice(seconds: float, images_left: int, side: int) -> str | None:
    """Return a sentence about a training that takes more than a day, else None.

    Args:
        seconds: per image.
        images_left: the rest of the budget.
        side: of the images, in pixels.
    """
    days = seconds * images_left / DAY
    if days <= 1:
        return None
    in_a_day = DAY / seconds / 1000
    return (
        f"On this machine a kimg takes about {_duration(seconds * 1000)}, and the "
        f"{images_left / 1000:g} kimg of this budget about {days:,.0f} days. A day makes about "
        f"train.kimg={in_a_day:.2g}. Smaller images (data.resolution={min(64, side // 2)}) and "
        "narrower networks need far less; large ones need a GPU."
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
