"""What generators of latents must be able to do."""

import inspect
from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from gantrain.errors import ConfigError


class LatentGenerator(Protocol):
    """A network from latents z [N, z_dim] and labels c [N, label_dim] to images.

    A network with z_dim > 0 is one. Without `label_dim` it has no labels; `channels` and
    `resolution` (h, w) are needed for reconstructions only.
    """

    z_dim: int

    def __call__(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Generate images [N, channels, H, W], about [-1, 1]."""
        ...


class StyleGenerator(LatentGenerator, Protocol):
    """A generator with w: z -> mapping -> ws [N, num_ws, w_dim] -> synthesis -> images.

    `synthesis(ws, noise_mode=...)`; of a generator whose canvas can be moved, also with
    `transform`, [3, 3] or [N, 3, 3].
    """

    channels: int
    resolution: tuple[int, int]  # (h, w)
    num_ws: int
    w_dim: int
    mapping: nn.Module
    synthesis: nn.Module


def moves_canvas(generator: object) -> bool:
    """Return whether the synthesis network takes a transform of its canvas, as StyleGAN3's does."""
    synthesis = getattr(generator, "synthesis", None)
    return synthesis is not None and "transform" in inspect.signature(synthesis.forward).parameters


def explain_use(networks: Mapping[str, nn.Module]) -> str:
    """Return what networks without latents are for, the end of a sentence.

    Args:
        networks: of a snapshot, by name.
    """
    if "G" in networks:
        return (
            f"its network {type(networks['G']).__name__} needs the attribute z_dim, the length of "
            "z, and to be called with z [N, z_dim] (and labels, with label_dim)."
        )
    return (
        f"its networks ({', '.join(networks)}) translate images. Use gantrain translate, or "
        f"translate(x, {next(iter(networks))!r}) in Python."
    )


def canvas_arguments(generator: nn.Module, transform: Tensor | None) -> dict[str, Tensor]:
    """Return what a synthesis network is called with to move its canvas.

    Args:
        generator: has w.
        transform: [3, 3] or [N, 3, 3]; None: the canvas stays.

    Raises:
        ConfigError: the canvas cannot be moved.
    """
    if transform is None:
        return {}
    if not moves_canvas(generator):
        raise ConfigError(
            "transform: only a generator such as StyleGAN3's has a canvas that can be moved and "
            f"turned, and this is a {type(generator).__name__}."
        )
    return {"transform": transform.to(next(generator.parameters()).device)}


def explain_missing_noise(generator: nn.Module) -> list[str]:
    """Return a sentence if the generator has no per-pixel noise, as StyleGAN2's does."""
    if any(name.endswith("noise_const") for name, _ in generator.named_buffers()):
        return []
    return [f"noise: a {type(generator).__name__} has no noise; leave it out."]
