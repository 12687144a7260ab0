"""Moving and turning what a StyleGAN3 shows: transforms of its canvas, and its own pose.

Positions are (x, y) with x to the right and y down, the image in [-0.5, 0.5], its centre at 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import cos, radians, sin

import torch
from torch import Tensor

from gantrain.inference.generators import moves_canvas
from gantrain.inference.latent_sources import LatentBatch
from gantrain.inference.model import Model


def rotation(angle: float) -> Tensor:
    """Return the matrix that turns positions counterclockwise.

    Args:
        angle: in radians.

    Returns:
        float64 [3, 3], for (x, y, 1).
    """
    c, s = cos(angle), sin(angle)  # y points down
    return torch.tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def translation(x: float, y: float) -> Tensor:
    """Return the matrix that moves positions by (x, y), float64 [3, 3]."""
    return torch.tensor([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]], dtype=torch.float64)


def canvas_transform(translate: Sequence[float], degrees: float) -> Tensor:
    """Return the `transform` of `Model.synthesis` that turns images, then moves them.

    The network asks for each position of the output where it was before: the inverse motion.

    Args:
        translate: (x, y) to the right and down, in units of the image.
        degrees: counterclockwise, about the centre of the image.

    Returns:
        float32 [3, 3].
    """
    motion = translation(translate[0], translate[1]) @ rotation(radians(degrees))
    return torch.linalg.inv(motion).float()


def motion(translate: Sequence[float], degrees: float, frames: int) -> Tensor:
    """Return the transforms of a steady motion that ends at a translation and a rotation.

    Args:
        translate: see `canvas_transform`.
        degrees: see `canvas_transform`; more than 360 are several turns.
        frames: number of transforms; the first is one step from no motion, the last the whole.

    Returns:
        float32 [frames, 3, 3].
    """
    shares = [(i + 1) / frames for i in range(frames)]
    steps = [canvas_transform([t * x for x in translate], t * degrees) for t in shares]
    return torch.stack(steps)


def anchor(model: Model, batches: Iterator[LatentBatch]) -> Iterator[LatentBatch]:
    """Give latents the pose of the mean image: the first w, which moves the canvas, becomes w_avg.

    Args:
        model: a generator with w.
        batches: their latents.
    """
    w_avg = model.style.mapping.get_buffer("w_avg")
    for latents in batches:
        ws = latents.values.clone()
        ws[:, 0] = w_avg
        yield replace(latents, values=ws)


def explain_fixed_canvas(model: Model, settings: Sequence[str]) -> list[str]:
    """Return a sentence if the canvas cannot be moved and there are settings that do so.

    Args:
        model: the snapshot.
        settings: such as "transform.rotate".

    Returns:
        One sentence or none.
    """
    if not settings or moves_canvas(model.generator):
        return []
    return [
        f"{', '.join(settings)}: only a generator such as StyleGAN3's has a canvas that can be "
        f"moved and turned, and {model.file} is a snapshot of {model.algorithm}; leave "
        f"{'it' if len(settings) == 1 else 'them'} out."
    ]
