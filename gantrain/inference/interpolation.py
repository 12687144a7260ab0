"""Smooth paths through latents: cubic splines with evenly spaced knots."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gantrain.inference.latent_sources import LatentBatch


def interpolate(keys: LatentBatch, steps: int, batch: int, *, loop: bool) -> Iterator[LatentBatch]:
    """Yield the latents of a path through `keys`.

    Args:
        keys: latents that the path passes through.
        steps: frames from one key to the next.
        batch: latents per batch.
        loop: whether the path returns to the first key.
    """
    # On the CPU, since not every device has float64.
    path = spline(keys.values.cpu(), steps, loop=loop).to(keys.values.device)
    for start in range(0, len(path), batch):
        indices = range(start, min(start + batch, len(path)))
        names = [f"frame{i:05d}" for i in indices]
        yield LatentBatch(names, names, path[start : start + batch], list(indices))


def spline(points: Tensor, steps: int, *, loop: bool) -> Tensor:
    """Return a twice continuously differentiable path through points, computed in float64.

    Args:
        points: [K, ...].
        steps: samples from one point to the next; sample i * steps is point i.
        loop: whether the path is closed; otherwise it is a natural spline from the first to the
            last point.

    Returns:
        [K * steps, ...] for a loop, whose last sample is one step before the first; otherwise
        [(K - 1) * steps + 1, ...].
    """
    count = len(points)
    flat = points.detach().double().flatten(1)
    samples = count * steps if loop else (count - 1) * steps + 1
    time = torch.arange(samples, dtype=torch.float64, device=points.device) / steps
    first = time.floor().long().clamp(max=max(0, count - 1 if loop else count - 2))
    if count == 1:
        return points[first]
    support = first[:, None] + torch.arange(4, device=points.device)
    path = (_basis(time - first) * _coefficients(flat, loop)[support]).sum(1)
    return path.to(points.dtype).reshape(samples, *points.shape[1:])


def _coefficients(flat: Tensor, loop: bool) -> Tensor:
    """Return the B-spline coefficients of [K, D], [K + 2 or more, D]; row i + 1 is of point i.

    Point i is (c[i-1] + 4 c[i] + c[i+1]) / 6; at the ends of an open path the second derivative
    c[i-1] - 2 c[i] + c[i+1] is 0.
    """
    count = len(flat)
    eye = torch.eye(count, dtype=flat.dtype, device=flat.device)
    system = (4 * eye + eye.roll(1, 0) + eye.roll(-1, 0)) / 6
    if not loop:
        system[0], system[-1] = eye[0], eye[-1]
    inner = torch.linalg.solve(system, flat)
    if loop:
        return torch.cat([inner[-1:], inner, inner[:1], inner[1:2]])
    before, after = 2 * inner[:1] - inner[1:2], 2 * inner[-1:] - inner[-2:-1]
    return torch.cat([before, inner, after])


def _basis(t: Tensor) -> Tensor:
    """Return the four cubic B-spline weights at t [N] in [0, 1], [N, 4, 1]."""
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return torch.stack(weights, 1)[..., None] / 6
