"""Signals that distinguish healthy from failing GANs, computed from a few images."""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

_SIDE = 16  # images are compared at this size in pixels
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)


@dataclass(frozen=True)
class Probe:
    """Outputs of one generator for fixed inputs, and the logits of its discriminator.

    Images are [N, C, H, W] in [-1, 1]; logits are [N].

    Args:
        real: training images of the domain that `fake` imitates.
        fake: generated images.
        logits_real, logits_fake: of `real` and `fake`.
        logits_held: of held-out real images.
        source: the images that `fake` was translated from.
        back: `fake` translated back.
        back_coded: `fake` translated back after `quantize_with_noise`.
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
    """Concatenate the probes of several microbatches, in float32.

    A field that is None in some probes holds the images or logits of the others.
    """
    values: dict[str, Tensor] = {}
    for field in fields(Probe):
        tensors = [x for part in parts if (x := getattr(part, field.name)) is not None]
        if tensors:
            values[field.name] = torch.cat([x.float() for x in tensors])
    return Probe(**values)


def quantize_with_noise(x: Tensor) -> Tensor:
    """Round images in [-1, 1] to 8 bits and add noise of one level, which destroys hidden data."""
    levels = ((x.float() + 1) * 127.5).round().clamp(0, 255)
    return (levels + torch.randn_like(levels)) / 127.5 - 1


def health_signals(probe: Probe) -> dict[str, float]:
    """Return all signals that the probe allows, by name; waits for the device once.

    logit_real, logit_fake, logit_held: means.
    separation: share of pairs in which D scores the real image above the fake.
    overfit: (E D(real) - E D(held)) / (E D(real) - E D(fake)); 0 without overfitting, 1 if D takes
        unseen real images for fakes.
    overfit_sigma: distance of `overfit` from 0 in standard errors.
    diversity: mean distance between two fakes, over that between two real images.
    copy: |fake - source| over |real - source| for arbitrary real images.
    luma: correlation of the brightness of source and fake; -1 for negatives.
    hidden: error of translating back after `quantize_with_noise`, over the error without it.
    """
    signals = _logit_signals(probe)
    real_spread = _mean_distance(probe.real).clamp_min(1e-6)
    signals["diversity"] = _mean_distance(probe.fake) / real_spread
    if probe.source is not None:
        source, fake = _downsample(probe.source), _downsample(probe.fake)
        if probe.source.shape[1:] == probe.fake.shape[1:] == probe.real.shape[1:]:
            count = min(len(source), len(probe.real))
            between_domains = (_downsample(probe.real)[:count] - source[:count]).abs().mean()
            signals["copy"] = (fake - source).abs().mean() / between_domains.clamp_min(1e-6)
        signals["luma"] = _correlation(_luma(source), _luma(fake))
        if probe.back is not None and probe.back_coded is not None:
            clean_error = (probe.back - probe.source).abs().mean()
            coded_error = (probe.back_coded - probe.source).abs().mean()
            # Errors below one 8-bit level cannot hide anything.
            signals["hidden"] = coded_error / clean_error.clamp_min(1 / 127.5)
    values = torch.stack([signal.double() for signal in signals.values()]).tolist()
    return dict(zip(signals, values, strict=True))


def _logit_signals(probe: Probe) -> dict[str, Tensor]:
    real, fake, held = probe.logits_real, probe.logits_fake, probe.logits_held
    signals = {"logit_real": real.mean(), "logit_fake": fake.mean()}
    above = (real[:, None] > fake).float() + 0.5 * (real[:, None] == fake).float()
    signals["separation"] = above.mean()
    if held is not None and len(held) > 1 and len(real) > 1:
        fake_gap = real.mean() - fake.mean()
        held_gap = real.mean() - held.mean()
        error = (real.var() / len(real) + held.var() / len(held)).sqrt().clamp_min(1e-9)
        signals["logit_held"] = held.mean()
        # Where D does not separate real from fake at all, there is nothing to overfit.
        overfit = held_gap / fake_gap.clamp_min(1e-6)
        signals["overfit"] = torch.where(fake_gap > 1e-6, overfit, 0 * fake_gap)
        signals["overfit_sigma"] = held_gap / error
    return signals


def _downsample(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, h, w] with sides of at most 16."""
    return F.adaptive_avg_pool2d(x, (min(_SIDE, x.shape[2]), min(_SIDE, x.shape[3])))


def _mean_distance(x: Tensor) -> Tensor:
    """Return the mean distance between two different images of [N, C, H, W], a scalar."""
    flat = _downsample(x).flatten(1)
    return torch.pdist(flat).mean() if len(flat) > 1 else flat.new_ones(())


def _luma(x: Tensor) -> Tensor:
    """Return the brightness [N, h * w] of [N, C, h, w]; an alpha channel is ignored.

    Of more than 4 bands, which are no colours, it is their mean.
    """
    if x.shape[1] > 4:
        return x.mean(1).flatten(1)
    if x.shape[1] < 3:
        return x[:, 0].flatten(1)
    red, green, blue = (weight * x[:, i] for i, weight in enumerate(_LUMA))
    return (red + green + blue).flatten(1)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean correlation of the rows of x and y; 0 where a row is constant."""
    x = x - x.mean(1, keepdim=True)
    y = y - y.mean(1, keepdim=True)
    size = x.norm(dim=1) * y.norm(dim=1)
    return torch.where(size > 1e-4, (x * y).sum(1) / size.clamp_min(1e-4), 0 * size).mean()
