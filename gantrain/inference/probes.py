"""What a GAN makes of fixed pictures while it trains, and how its discriminators judge them."""

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
from gantrain.ops.value_range import to_float


def translates(gan: GAN) -> bool:
    """Whether the generators turn pictures of two domains into each other."""
    return set(networks_of(gan.G, "G")) == {"ab", "ba"}


def can_be_probed(gan: GAN) -> bool:
    """Whether this module knows how to ask the GAN: see `GAN.judge`."""
    return translates(gan) or (gan.takes == "images" and hasattr(_latent(gan), "z_dim"))


class HealthProbe:
    """Fixed training pictures and, where a data set has test pictures of its own, as many of those.

    Args:
        data: a prepared data set.
        count: pictures of every stream, at most as many as there are.
        batch: pictures at a time, the microbatch of training: what a network does may depend on it.
        layout: of the pictures in memory, as in training.
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
        self._real, self._held = (_fixed(data, split, count) for split in ("train", "held"))

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """The signals of every place as "<place>/<signal>": places "ab" and "ba", or "image"."""
        found: dict[str, float] = {}
        with _unchanged(self.gan), torch.compiler.set_stance("force_eager"):
            for place in ("ab", "ba") if translates(self.gan) else ("image",):
                probe = concat_probes([*self._parts(place)])
                found |= {f"{place}/{name}": value for name, value in health_signals(probe).items()}
        return found

    def _parts(self, place: str) -> Iterator[Probe]:
        count = min(len(images) for images in self._real.values())
        for start in range(0, count, self.batch):
            real, held = (self._part(given, start) for given in (self._real, self._held))
            with self.precision.autocast():
                if translates(self.gan):
                    yield self._translated(place, real, held)
                else:
                    yield self._drawn(real, held)

    def _part(self, given: Batch, start: int) -> Batch:
        device = self.precision.device
        moved = {k: x[start : start + self.batch].to(device) for k, x in given.items()}
        return {
            k: to_float(x).contiguous(memory_format=self.layout) if x.dim() == 4 else x
            for k, x in moved.items()
            if len(x)
        }

    def _drawn(self, real: Batch, held: Batch) -> Probe:
        """Samples with the labels of the real pictures."""
        G, x = _latent(self.gan), real["image"]
        z, c = torch.randn(len(x), G.z_dim, device=x.device), real.get("label")
        fake = G(z) if c is None else G(z, c)
        judge = self.gan.judge
        unseen = judge(held["image"], held) if "image" in held else None
        return Probe(x, fake, judge(x, real), judge(fake, real), unseen)

    def _translated(self, place: str, real: Batch, held: Batch) -> Probe:
        """Pictures of the first domain as such of the second, and back."""
        src, dst = place
        forth, back = (networks_of(self.gan.G, "G")[way] for way in (src + dst, dst + src))
        D = networks_of(self.gan.D, "D")[dst]

        def logits(x: Tensor) -> Tensor:
            return D(x).flatten(1).mean(1)

        fake = forth(real[src])
        unseen = logits(held[dst]) if dst in held else None
        return Probe(
            real=real[dst],
            fake=fake,
            logits_real=logits(real[dst]),
            logits_fake=logits(fake),
            logits_held=unseen,
            source=real[src],
            back=back(fake),
            back_coded=back(quantize_with_noise(fake)),
        )


def _latent(gan: GAN) -> Any:
    """The network from latents to pictures."""
    return networks_of(gan.G, "G").get("G")


def _fixed(data: Dataset, split: str, count: int) -> Batch:
    """Pictures (and labels) of every stream that are trained on, or held out, if any."""
    found: Batch = {}
    for stream in [*data.channels, *["label"] * bool(data.label_dim)]:
        counted = "image" if stream == "label" else stream
        if split == "train":
            total, get = data.train_count(counted), data.train_item
        else:
            total, get = data.held_count(counted), data.test_item
        if total:
            found[stream] = _spread(partial(get, stream), total, count)
    return found


def _spread(get: Callable[[int], np.ndarray], total: int, count: int) -> Tensor:
    """Evenly spaced pictures [n, C, H, W]: as many of `count` as share the first one's size."""
    wanted = min(count, total)
    items = [torch.from_numpy(get(i * total // wanted)) for i in range(wanted)]
    return torch.stack([x for x in items if x.shape == items[0].shape])


@contextmanager
def _unchanged(gan: GAN) -> Iterator[None]:
    """The networks' running statistics are afterwards as they were.

    They work as in training (batch norm by batch, dropout), because that is what is judged.
    """
    buffers = [b for player in (gan.G, gan.D) for b in player.buffers()]
    before = [b.clone() for b in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
