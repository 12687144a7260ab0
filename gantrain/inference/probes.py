"""Probes of a GAN in training: its outputs and logits for fixed images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data.base import Dataset
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, Batch, networks_of
from gantrain.health.signals import Probe, concat_probes, health_signals, quantize_with_noise
from gantrain.inference.pictures import look_of
from gantrain.networks.directions import directions_of
from gantrain.ops.value_range import to_float


def can_be_probed(gan: GAN) -> bool:
    """Return whether a GAN has the interface that `HealthProbe` needs, see `GAN.judge`."""
    translates = bool(directions_of(networks_of(gan.G, "G")))
    return translates or (gan.takes == "images" and hasattr(_latent_generator(gan), "z_dim"))


class HealthProbe:
    """Computes health signals on fixed training images and, if there are any, held-out images.

    Args:
        gan: a GAN that `can_be_probed`.
        data: a prepared data set.
        precision: device and precision.
        count: images per stream, at most.
        batch: images at once, the microbatch of training, on which outputs may depend.
        layout: memory format of the images, as in training.
    """

    def __init__(
        self,
        gan: GAN,
        data: Dataset,
        precision: Precision,
        count: int,
        batch: int,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.gan, self.precision, self.batch, self.layout = gan, precision, batch, layout
        self.directions = directions_of(networks_of(gan.G, "G"))
        self._look = look_of(data.describe())
        self._real, self._held = (_fixed_images(data, split, count) for split in ("train", "held"))

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return the signals as "<probe>/<signal>"; the probes are directions, or "image"."""
        signals: dict[str, float] = {}
        with _preserve_buffers(self.gan):
            for name in self.directions or ("image",):
                probe = concat_probes([*self._probe_microbatches(name)])
                signals |= {f"{name}/{key}": value for key, value in health_signals(probe).items()}
        return signals

    def _probe_microbatches(self, name: str) -> Iterator[Probe]:
        count = min(len(images) for images in self._real.values())
        for start in range(0, count, self.batch):
            real, held = (self._microbatch(x, start) for x in (self._real, self._held))
            with self.precision.autocast():
                if self.directions:
                    yield self._probe_translation(name, real, held)
                else:
                    yield self._probe_samples(real, held)

    def _microbatch(self, tensors: Batch, start: int) -> Batch:
        """Return a part of the tensors on the device, images as floats."""
        device = self.precision.device
        parts = {k: x[start : start + self.batch].to(device) for k, x in tensors.items()}
        return {
            k: to_float(x).contiguous(memory_format=self.layout) if x.dim() == 4 else x
            for k, x in parts.items()
            if len(x)
        }

    def _probe_samples(self, real: Batch, held: Batch) -> Probe:
        """Probe samples with the labels of the real images."""
        G, x = _latent_generator(self.gan), real["image"]
        z, c = torch.randn(len(x), G.z_dim, device=x.device), real.get("label")
        fake = G(z) if c is None else G(z, c)
        logits = self.gan.judge
        logits_held = logits(held["image"], held) if "image" in held else None
        return Probe(x, fake, logits(x, real), logits(fake, real), logits_held)

    def _probe_translation(self, direction: str, real: Batch, held: Batch) -> Probe:
        """Probe translations and, with a generator for it, their way back."""
        src, dst = direction
        generators = networks_of(self.gan.G, "G")
        translate_back = generators.get(dst + src)
        judge = partial(self.gan.judge_translation, direction=direction)
        fake = generators[direction](real[src])
        logits_held = judge(held[dst], held.get(src)) if dst in held else None
        return Probe(
            real=self._seen(real[dst], real[src]),
            fake=self._seen(fake, real[src]),
            logits_real=judge(real[dst], real[src]),
            logits_fake=judge(fake, real[src]),
            logits_held=logits_held,
            source=self._seen(real[src], None),
            back=translate_back(fake) if translate_back else None,
            back_coded=translate_back(quantize_with_noise(fake)) if translate_back else None,
        )

    def _seen(self, x: Tensor, source: Tensor | None) -> Tensor:
        """Return images as they look, on the device."""
        return self._look(x, source).to(x.device)


def _latent_generator(gan: GAN) -> Any:
    """Return the network from latents to images, or None."""
    return networks_of(gan.G, "G").get("G")


def _fixed_images(data: Dataset, split: str, count: int) -> Batch:
    """Return images (and labels) of every stream, of split "train" or "held"."""
    tensors: Batch = {}
    for stream in [*data.channels, *["label"] * bool(data.label_dim)]:
        images = "image" if stream == "label" else stream  # labels are counted by their images
        if split == "train":
            total, get = data.train_count(images), data.train_item
        else:
            total, get = data.held_count(images), data.test_item
        if total:
            tensors[stream] = _evenly_spaced(partial(get, stream), total, count)
    return tensors


def _evenly_spaced(get: Callable[[int], np.ndarray], total: int, count: int) -> Tensor:
    """Return up to `count` evenly spaced items, those of the first one's size, stacked."""
    count = min(count, total)
    items = [torch.from_numpy(get(i * total // count)) for i in range(count)]
    return torch.stack([x for x in items if x.shape == items[0].shape])


@contextmanager
def _preserve_buffers(gan: GAN) -> Iterator[None]:
    """Restore the networks' buffers afterwards.

    The networks stay in training mode (batch statistics, dropout), which updates running
    statistics: what is probed is their behaviour in training.
    """
    buffers = [b for player in gan.players().values() for b in player.buffers()]
    values = [b.clone() for b in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, values, strict=True):
            buffer.copy_(value)
