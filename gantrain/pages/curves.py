"""Lay out curves for inline SVG, readable in any width, light or dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]  # (kimg, value)

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 14, 14, 36  # margins for the axes
_BUCKETS = 400  # of a curve; each keeps its lowest and highest point
_TICKS = 3
_DASHES = ("", "6 3", "2 3")  # curves are distinguishable without colours, too


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: for the legend.
        color: a class of the stylesheet.
        dash: the dash pattern, in SVG syntax.
        points: "x,y x,y ...", in SVG syntax.
        last: the last value, for the legend.
    """

    name: str
    color: str
    dash: str
    points: str
    last: str


@dataclass(frozen=True)
class Tick:
    """A label of an axis.

    Attributes:
        x: position in units of the chart.
        y: position in units of the chart.
        label: the text.
        anchor: a class of the stylesheet.
    """

    x: float
    y: float
    label: str
    anchor: str = ""


@dataclass(frozen=True)
class Chart:
    """The content of `templates/chart.html`, in a box of `width` x `height` units."""

    title: str
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT


def make_chart(title: str, curves: Mapping[str, Sequence[Point]]) -> Chart | None:
    """Lay out curves over kimg.

    Args:
        title: of the chart.
        curves: {name: points}.

    Returns:
        None if no curve has two finite points.
    """
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in curves.items()}
    lines = {name: downsample(points) for name, points in finite.items() if len(points) > 1}
    if not lines:
        return None
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x0, x1 = min(xs), max(xs)
    y0, y1 = _widen(min(ys), max(ys))

    def position(point: Point) -> str:
        x = _LEFT + (point[0] - x0) / ((x1 - x0) or 1) * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - (point[1] - y0) / (y1 - y0) * (HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    drawn = [
        Curve(
            name=name,
            color=f"c{number % 6}",
            dash=_DASHES[number // 6 % 3],
            points=" ".join(map(position, points)),
            last=f"{points[-1][1]:.4g}",
        )
        for number, (name, points) in enumerate(lines.items())
    ]
    return Chart(title, drawn, _x_ticks(x0, x1), _y_ticks(y0, y1))


def downsample(points: Sequence[Point]) -> list[Point]:
    """Reduce a curve to the extremes of each bucket and its end points, in order."""
    if len(points) <= 2 * _BUCKETS:
        return list(points)
    indices = {0, len(points) - 1}
    for bucket in range(_BUCKETS):
        start = bucket * len(points) // _BUCKETS
        inside = range(start, (bucket + 1) * len(points) // _BUCKETS)
        indices.add(min(inside, key=lambda i: points[i][1]))
        indices.add(max(inside, key=lambda i: points[i][1]))
    return [points[i] for i in sorted(indices)]


def tick_label(value: float) -> str:
    """Format a number with at most seven characters, for which the margin has room."""
    text = f"{value:.0f}" if 1000 <= abs(value) < 99999.5 else f"{value:.3g}"
    if len(text) > 7:
        mantissa, _, power = f"{value:.1e}".partition("e")
        text = f"{mantissa}e{int(power)}"
    return text


def _widen(low: float, high: float) -> tuple[float, float]:
    """Move limits apart a little, so that they are never equal."""
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _y_ticks(low: float, high: float) -> list[Tick]:
    ticks = []
    for number in range(_TICKS + 1):
        share = number / _TICKS
        y = HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
        ticks.append(Tick(_LEFT - 6, round(y, 1), tick_label(low + share * (high - low))))
    return ticks


def _x_ticks(low: float, high: float) -> list[Tick]:
    y, middle = HEIGHT - 8, (WIDTH + _LEFT - _RIGHT) / 2
    return [
        Tick(_LEFT, y, f"{low:.4g}", "s"),
        Tick(middle, y, f"{(low + high) / 2:.4g} kimg", "m"),
        Tick(WIDTH - _RIGHT, y, f"{high:.4g}", "e"),
    ]
