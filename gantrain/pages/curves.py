"""Curves as inline SVG, readable in any width, light or dark."""

import html
import math
from collections.abc import Mapping, Sequence

Point = tuple[float, float]  # (kimg, value)

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 14, 14, 36  # room for the axes
_BUCKETS = 400  # of a curve; each keeps its lowest and highest point
_TICKS = 3
_DASHES = ("", "6 3", "2 3")  # so that colours are not all there is to tell curves by


def chart(title: str, curves: Mapping[str, Sequence[Point]]) -> str:
    """A figure of named curves over kimg; "" when none has two finite points."""
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in curves.items()}
    shown = {name: downsample(points) for name, points in finite.items() if len(points) > 1}
    if not shown:
        return ""
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    x0, x1, (y0, y1) = min(xs), max(xs), _room(min(ys), max(ys))

    def place(point: Point) -> str:
        x = _LEFT + (point[0] - x0) / ((x1 - x0) or 1) * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - (point[1] - y0) / (y1 - y0) * (HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    lines = "".join(
        f'<polyline class="c{number % 6}" stroke-dasharray="{_DASHES[number // 6 % 3]}" '
        f'points="{" ".join(map(place, points))}"/>'
        for number, points in enumerate(shown.values())
    )
    legend = "".join(
        f'<li><svg viewBox="0 0 20 8" aria-hidden="true"><polyline class="c{number % 6}" '
        f'stroke-dasharray="{_DASHES[number // 6 % 3]}" points="0,4 20,4"/></svg>'
        f"{html.escape(name)} <b>{points[-1][1]:.4g}</b></li>"
        for number, (name, points) in enumerate(shown.items())
    )
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title, True)}">'
        f"{_axes(x0, x1, y0, y1)}{lines}</svg><ul>{legend}</ul></figure>"
    )


def downsample(points: Sequence[Point]) -> list[Point]:
    """At most two points of every bucket, its extremes, in their order; ends are kept."""
    if len(points) <= 2 * _BUCKETS:
        return list(points)
    kept = {0, len(points) - 1}
    for bucket in range(_BUCKETS):
        start = bucket * len(points) // _BUCKETS
        inside = range(start, (bucket + 1) * len(points) // _BUCKETS)
        kept.add(min(inside, key=lambda i: points[i][1]))
        kept.add(max(inside, key=lambda i: points[i][1]))
    return [points[i] for i in sorted(kept)]


def tick_label(value: float) -> str:
    """A number of at most seven characters, which is what there is room for."""
    text = f"{value:.0f}" if 1000 <= abs(value) < 99999.5 else f"{value:.3g}"
    if len(text) > 7:
        mantissa, _, power = f"{value:.1e}".partition("e")
        text = f"{mantissa}e{int(power)}"
    return text


def _room(low: float, high: float) -> tuple[float, float]:
    """Limits a little further apart, and never equal."""
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _axes(x0: float, x1: float, y0: float, y1: float) -> str:
    parts = []
    for number in range(_TICKS + 1):
        share = number / _TICKS
        y = HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
        value = y0 + share * (y1 - y0)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 7:.1f}" class="y">{tick_label(value)}</text>')
    middle = (WIDTH + _LEFT - _RIGHT) / 2
    for x, value, side in (
        (_LEFT, x0, "s"),
        (middle, (x0 + x1) / 2, "m"),
        (WIDTH - _RIGHT, x1, "e"),
    ):
        unit = " kimg" if side == "m" else ""
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT - 8}" class="{side}">{value:.4g}{unit}</text>')
    return "".join(parts)
