"""Numbers that tell a healthy GAN from an ill one, from a few pictures. Pure functions."""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

_SIDE = 16  # pictures are compared at this many pixels
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Probe:
    """What one generator makes of fixed inputs, and how its discriminator judges.

    Pictures are [N, C, H, W] in [-1, 1]; logits [N], one a picture.

    Args:
        real: training pictures of the kind that `fake` is to be.
        logits_held: of pictures that are not trained on.
        source: what `fake` was translated from; `back`: `fake` translated back; `back_coded`: the
            same after `quantize_with_noise`.
    """

    real: Tensor
    fake: Tensor
    logits_real: Tensor
    logits_fake: Tensor
    logits_held: Tensor | None = None
    source: Tensor | None = None
    back: Tensor | None = None
    back_coded: Tensor | None = None


def concat_probes(parts: list[Probe]) -> Probe:
    """The probes of several microbatches as one; what some lack is of those that have it."""
    found: dict[str, Tensor] = {}
    for field in fields(Probe):
        tensors = [x for part in parts if (x := getattr(part, field.name)) is not None]
        if tensors:
            found[field.name] = torch.cat([x.float() for x in tensors])
    return Probe(**found)


def quantize_with_noise(x: Tensor) -> Tensor:
    """x in [-1, 1] as an 8-bit file with a little noise has it: what is hidden in it is lost."""
    levels = ((x.float() + 1) * 127.5).round().clamp(0, 255)
    return (levels + torch.randn_like(levels)) / 127.5 - 1


def health_signals(probe: Probe) -> dict[str, float]:
    """All signals that the probe allows, by their names; waits for the device once.

    logit_real, logit_fake, logit_held: means.
    separation: the share of pairs in which D finds the real picture more real than the fake.
    overfit: (E D(real) - E D(held)) / (E D(real) - E D(fake)): 0 as it should be, 1 when D takes
        real pictures that it does not know for fakes; overfit_sigma: its distance from 0 in
        standard errors.
    diversity: mean distance between two fakes, over that between two real pictures.
    copy: |fake - source| over |real - source|, the real picture an arbitrary one.
    luma: correlation of the brightness of source and fake, -1 for a negative.
    hidden: error of the way back from a fake as a file has it, over that from the fake itself.
    """
    found = _judgement(probe)
    found["diversity"] = _spread(probe.fake) / _spread(probe.real).clamp_min(1e-6)
    if probe.source is not None:
        source, fake = _small(probe.source), _small(probe.fake)
        if probe.source.shape[1:] == probe.fake.shape[1:] == probe.real.shape[1:]:
            count = min(len(source), len(probe.real))
            other = (_small(probe.real)[:count] - source[:count]).abs().mean()
            found["copy"] = (fake - source).abs().mean() / other.clamp_min(1e-6)
        found["luma"] = _correlation(_luma(source), _luma(fake))
        if probe.back is not None and probe.back_coded is not None:
            clean = (probe.back - probe.source).abs().mean()
            # An error below one level of a file is none that anybody could hide.
            found["hidden"] = (probe.back_coded - probe.source).abs().mean() / clean.clamp_min(
                1 / 127.5
            )
    names = list(found)
    return dict(zip(names, torch.stack([found[n].double() for n in names]).tolist(), strict=True))


def _judgement(probe: Probe) -> dict[str, Tensor]:
    """What the logits say."""
    real, fake, held = probe.logits_real, probe.logits_fake, probe.logits_held
    found = {"logit_real": real.mean(), "logit_fake": fake.mean()}
    above = (real[:, None] > fake).float() + 0.5 * (real[:, None] == fake).float()
    found["separation"] = above.mean()
    if held is not None and len(held) > 1 and len(real) > 1:
        gap, lost = real.mean() - fake.mean(), real.mean() - held.mean()
        error = (real.var() / len(real) + held.var() / len(held)).sqrt().clamp_min(1e-9)
        found["logit_held"] = held.mean()
        found["overfit"] = torch.where(gap > 1e-6, lost / gap.clamp_min(1e-6), 0 * gap)
        found["overfit_sigma"] = lost / error
    return found


def _small(x: Tensor) -> Tensor:
    """[N, C, h, w] with sides of at most 16."""
    return F.adaptive_avg_pool2d(x, (min(_SIDE, x.shape[2]), min(_SIDE, x.shape[3])))


def _spread(x: Tensor) -> Tensor:
    """Mean distance between two different pictures of [N, C, H, W]; a scalar."""
    flat = _small(x).flatten(1)
    return torch.pdist(flat).mean() if len(flat) > 1 else flat.new_ones(())


def _luma(x: Tensor) -> Tensor:
    """Brightness [N, h * w] of [N, C, h, w]; alpha counts for nothing."""
    if x.shape[1] < 3:
        return x[:, 0].flatten(1)
    red, green, blue = (weight * x[:, i] for i, weight in enumerate(_LUMA))
    return (red + green + blue).flatten(1)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the pictures of the correlation along the last axis; 0 where one is flat."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    size = x.norm(dim=1) * y.norm(dim=1)
    return torch.where(size > 1e-4, (x * y).sum(1) / size.clamp_min(1e-4), 0 * size).mean()
