"""Projection of real images into a generator's latent space.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", appendix D
(arXiv 1912.04958); W+ as in Abdal et al. 2019 (arXiv 1904.03189).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.inference.image_io import run_pixels
from gantrain.inference.model import Model
from gantrain.metrics.lpips import LPIPS
from gantrain.metrics.requirements import LEAST_SIDES

Space = Literal["w", "w+", "z"]
SAMPLES = 10_000  # latents for the mean and the spread of w
LPIPS_SIDE = 256  # pixels: LPIPS sees larger images at half, a quarter, ... of their size
NOISE_SIDE = 8  # pixels: the smallest scale at which noise must be uncorrelated
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps in which the learning rate rises and falls
PERTURBATION, PERTURBED = 0.05, 0.75  # of w, in its spread; the share of the steps with it
SEED = 123  # of the latents for mean and spread
CANDIDATES, CANDIDATES_AT_ONCE = 100, 10  # of `Projector.nearest`


@dataclass(frozen=True)
class ProjectionSettings:
    """How images are projected.

    Attributes:
        space: "w" (one w for all layers), "w+" (one per layer) or "z".
        steps: of Adam.
        lr: its learning rate at most.
        pixel_weight: weight of the mean squared difference of pixels, beside LPIPS.
        noise_weight: weight of the noise regularization; 0: the stored noise is kept.
        spread_weight: weight of the squared spread of w+ over the layers, in units of that of w; in
            z, of the squared deviation of |z|^2 from its mean, in standard deviations.
        seed: of the perturbations.
    """

    space: Space
    steps: int
    lr: float
    pixel_weight: float
    noise_weight: float
    spread_weight: float
    seed: int


@dataclass(frozen=True)
class Projection:
    """The result for N images.

    Attributes:
        latents: ws [N, num_ws, w_dim]; of a generator without w, its input [N, z_dim + label_dim].
        noise: of each layer with noise, [N, 1, H, W]; {}: the stored noise.
        images: of latents and noise, [N, C, H, W] about [-1, 1].
    """

    latents: Tensor
    noise: dict[str, Tensor]
    images: Tensor


class Projector:
    """Finds the latents of images; one image is independent of the others in a batch.

    Args:
        model: a generator of latents, with w unless the space is "z".
        lpips: on the same device.
        settings: see there.
        label: [label_dim], of all images; None: the network is unconditional.
    """

    def __init__(
        self,
        model: Model,
        lpips: LPIPS,
        settings: ProjectionSettings,
        label: Tensor | None = None,
    ) -> None:
        self.model, self.lpips, self.settings, self.label = model, lpips, settings, label
        self.device = model.precision.device
        if settings.space != "z":
            self.mean, self.spread = self._statistics()

    @torch.no_grad()
    def _statistics(self) -> tuple[Tensor, float]:
        """Return the mean of w, [w_dim], and the root of its mean squared deviation."""
        generator = torch.Generator().manual_seed(SEED)
        z = torch.randn(SAMPLES, self.model.generator.z_dim, generator=generator)
        ws = [self.model.mapping(part, self._labels(len(part)))[:, 0] for part in z.split(500)]
        w = torch.cat([part.to(self.device) for part in ws])
        mean = w.mean(dim=0)
        return mean, float((w - mean).square().sum(dim=1).mean().sqrt())

    def _labels(self, count: int) -> Tensor | None:
        return None if self.label is None else self.label.to(self.device).expand(count, -1)

    @torch.no_grad()
    def nearest(self, images: Tensor) -> Tensor:
        """Return the ws of 100 samples' nearest to each image by LPIPS, [N, num_ws, w_dim].

        Where the mean w is too far away for Adam, this is a better start.

        Args:
            images: see `project`.
        """
        targets = self.lpips.embed(for_lpips(images.to(self.device)))
        singly = [[x[i : i + 1] for x in targets] for i in range(len(images))]
        generator = torch.Generator().manual_seed(self.settings.seed)
        z = torch.randn(CANDIDATES, self.model.generator.z_dim, generator=generator)
        parts, distances = [], []
        for part in z.to(self.device).split(CANDIDATES_AT_ONCE):
            ws = self.model.mapping(part, self._labels(len(part)))
            made = self.lpips.embed(for_lpips(self.synthesize(ws, {})))
            parts.append(ws)
            distances.append(torch.stack([self.lpips.compare(made, one) for one in singly]))
        return torch.cat(parts)[torch.cat(distances, dim=1).argmin(dim=1)]

    def project(
        self,
        images: Tensor,
        start: Tensor | None = None,
        report: Callable[[int, Tensor, Tensor], None] = lambda step, lpips, made: None,
    ) -> Projection:
        """Project images.

        Args:
            images: [N, C, H, W] in [-1, 1], as the generator makes them.
            start: ws [N, num_ws, w_dim] to begin with, such as an encoder's; None: the mean w.
            report: called in every step with its number, the LPIPS [N] and the images so far.
        """
        images = images.to(self.device)
        target = self.lpips.embed(for_lpips(images))
        variable = self._initial(len(images), start)
        noise = self._initial_noise(len(images)) if self.settings.noise_weight else {}
        optimizer = torch.optim.Adam([variable, *noise.values()], betas=(0.9, 0.999))
        steps, generator = self.settings.steps, torch.Generator().manual_seed(self.settings.seed)
        for step in range(steps):
            time = step / steps
            for group in optimizer.param_groups:
                group["lr"] = self.settings.lr * learning_rate(time)
            latents = self._latents(variable + self._perturbation(variable, time, generator))
            made = self.synthesize(latents, noise)
            distance = self.lpips.compare(self.lpips.embed(for_lpips(made)), target)
            report(step, distance.detach(), made.detach())
            loss = distance + self._regularization(variable, noise)
            if self.settings.pixel_weight:
                loss = loss + self.settings.pixel_weight * mean_square(made - images)
            # A sum: every image has the gradient that it would have alone.
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()
            optimizer.step()
            _normalize(noise)
        with torch.no_grad():
            latents = self._latents(variable.detach())
            fitted = {name: values.detach() for name, values in noise.items()}
            return Projection(latents, fitted, self.synthesize(latents, fitted))

    def _initial(self, count: int, start: Tensor | None) -> Tensor:
        """Return the tensor that is optimized: w, ws or z, the same for all images at first."""
        space = self.settings.space
        if space == "z":
            generator = torch.Generator().manual_seed(self.settings.seed)
            z = torch.randn(1, self.model.generator.z_dim, generator=generator)
            return z.expand(count, -1).to(self.device).clone().requires_grad_(True)
        layers = self.model.style.num_ws if space == "w+" else 1
        if start is None:
            w = self.mean.expand(count, layers, -1)
        else:
            w = start.to(self.device) if space == "w+" else start.to(self.device).mean(1, True)
        return w.detach().clone().requires_grad_(True)

    def _initial_noise(self, count: int) -> dict[str, Tensor]:
        """Return normal noise for every layer that has some, the same for all images."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        noise = {}
        for name, buffer in self._synthesis().named_buffers():
            if name.endswith("noise_const"):
                one = torch.randn(1, 1, *buffer.shape, generator=generator).to(buffer)
                noise[name] = one.expand(count, -1, -1, -1).clone().requires_grad_(True)
        return noise

    def _synthesis(self) -> nn.Module:
        G = self.model.networks["G"]
        return G.synthesis if self.model.has_w else G  # type: ignore[return-value]

    def _perturbation(self, variable: Tensor, time: float, generator: torch.Generator) -> Tensor:
        """Return Gaussian noise that explores w at first; the same for all images."""
        if self.settings.space == "z":
            return torch.zeros_like(variable)
        strength = self.spread * PERTURBATION * max(0.0, 1 - time / PERTURBED) ** 2
        noise = torch.randn(variable.shape[1:], generator=generator)
        return strength * noise.to(variable)

    def _latents(self, variable: Tensor) -> Tensor:
        """Return what the synthesis takes: ws, or z beside the labels."""
        if self.settings.space == "z":
            labels = self._labels(len(variable))
            if self.model.has_w:
                return self.model.mapping(variable, labels)
            return variable if labels is None else torch.cat([variable, labels], dim=1)
        return variable.expand(-1, self.model.style.num_ws, -1)

    def synthesize(self, latents: Tensor, noise: dict[str, Tensor]) -> Tensor:
        """Return the images [N, C, H, W] of latents, with noise as in `Projection`."""
        if not noise:
            return self.model.synthesize(latents, "const", [0] * len(latents))
        with self.model.precision.autocast():
            settings = {"noise_mode": "const"}
            return torch.func.functional_call(
                self._synthesis(), noise, (latents,), settings
            ).float()

    def _regularization(self, variable: Tensor, noise: dict[str, Tensor]) -> Tensor:
        total = torch.zeros(len(variable), device=self.device)
        if self.settings.space == "w+":
            deviation = (variable - variable.mean(1, keepdim=True)).square().sum(2).mean(1)
            total = total + self.settings.spread_weight * deviation / self.spread**2
        elif self.settings.space == "z":
            # |z|^2 of a standard normal z has the mean d and the variance 2d.
            excess = (variable.square().mean(dim=1) - 1) * (variable.shape[1] / 2) ** 0.5
            total = total + self.settings.spread_weight * excess.square()
        for values in noise.values():
            total = total + self.settings.noise_weight * correlation(values)
        return total


def learning_rate(time: float) -> float:
    """Return the factor of the learning rate at `time`, from 0 to 1.

    It rises linearly at first, and falls along half a cosine at the end.
    """
    down = min(1.0, (1 - time) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, time / RAMP_UP)


def correlation(noise: Tensor) -> Tensor:
    """Return the noise regularization of maps [N, 1, H, W], [N].

    Over scales down to `NOISE_SIDE`: the squared mean products of neighbours in both directions,
    which are 0 in expectation for independent values. A scale is the mean of 2 x 2 values, times 2.
    """
    total = torch.zeros(len(noise), device=noise.device)
    while True:
        for axis in (2, 3):
            product = (noise * noise.roll(1, dims=axis)).mean((1, 2, 3))
            total = total + product.square()
        if min(noise.shape[2:]) <= NOISE_SIDE:
            return total
        noise = 2 * F.avg_pool2d(noise, 2)


@torch.no_grad()
def _normalize(noise: dict[str, Tensor]) -> None:
    """Give every map of every image mean 0 and mean square 1."""
    for values in noise.values():
        values -= values.mean((2, 3), keepdim=True)
        values *= values.square().mean((2, 3), keepdim=True).rsqrt()


def mean_square(x: Tensor) -> Tensor:
    """[N, ...] -> [N]."""
    return x.square().flatten(1).mean(dim=1)


def explain_unlike_lpips(model: Model, user: str) -> Iterator[str]:
    """Yield a sentence for each reason why LPIPS cannot compare a generator's images with files.

    Args:
        model: a generator of latents.
        user: what compares them, such as "project".
    """
    G = model.generator
    channels, sides = getattr(G, "channels", None), getattr(G, "resolution", (0, 0))
    if channels not in (1, 3):
        yield f"{user} compares images by LPIPS, which sees 1 or 3 channels, not {channels}."
    if min(sides) < (least := LEAST_SIDES["lpips"]):
        yield f"{user} compares images by LPIPS, which needs at least {least} pixels a side."
    if run_pixels(model.meta.get("data", {})).result_dtype(np.dtype(np.uint8)) != np.uint8:
        yield f"{user} reads and compares images of 8 bits; this generator was trained on others."


def for_lpips(x: Tensor) -> Tensor:
    """Return images [N, 1 or 3, H, W] as LPIPS takes them: RGB, of at most `LPIPS_SIDE` pixels."""
    factor = max(x.shape[2:]) // LPIPS_SIDE
    if factor > 1:
        x = F.avg_pool2d(x, factor)
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
