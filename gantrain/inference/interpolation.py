"""A smooth path through key points: the cubic spline with evenly spaced knots."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gantrain.inference.latent_sources import LatentBatch


def interpolate(keys: LatentBatch, steps: int, batch: int, *, loop: bool) -> Iterator[LatentBatch]:
    """Points of a path through `keys` with `steps` from one to the next, `batch` at a time."""
    # float64, which not every device has
    path = spline(keys.values.cpu(), steps, loop=loop).to(keys.values.device)
    for start in range(0, len(path), batch):
        numbers = range(start, min(start + batch, len(path)))
        names = [f"frame{i:05d}" for i in numbers]
        yield LatentBatch(names, names, path[start : start + batch], list(numbers))


def spline(points: Tensor, steps: int, *, loop: bool) -> Tensor:
    """Twice continuously differentiable path through `points` [K, ...], computed in float64.

    Args:
        steps: samples from one point to the next; sample i * steps is point i.
        loop: closed, [K * steps, ...], the step after the last sample is the first one; else from
            the first to the last point, [(K - 1) * steps + 1, ...] (a natural spline).
    """
    count = len(points)
    flat = points.detach().double().flatten(1)
    samples = count * steps if loop else (count - 1) * steps + 1
    time = torch.arange(samples, dtype=torch.float64, device=points.device) / steps
    first = time.floor().long().clamp(max=max(0, count - 1 if loop else count - 2))
    if count == 1:
        return points[first]
    around = first[:, None] + torch.arange(4, device=points.device)
    path = (_basis(time - first) * _coefficients(flat, loop)[around]).sum(1)
    return path.to(points.dtype).reshape(samples, *points.shape[1:])


def _coefficients(flat: Tensor, loop: bool) -> Tensor:
    """[K, D] -> B-spline coefficients [K + 2 or more, D]: number i + 1 belongs to point i.

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
    """[N] in [0, 1] -> the four cubic B-spline weights [N, 4, 1]."""
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return torch.stack(weights, 1)[..., None] / 6
