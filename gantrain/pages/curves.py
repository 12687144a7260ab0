"""Lay out curves for inline SVG, readable in any width, light or dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

Point = tuple[float, float]  # (kimg, value)

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 14, 14, 36  # margins for the axes
_BUCKETS = 400  # of a curve; each keeps its lowest and highest point
_TICKS = 5  # at most, or one more
_DECADES = 100  # from this ratio of the highest to the lowest value on, an axis is logarithmic
_TINY, _HUGE = 1e-290, 1e290  # beyond, a margin around the values would be 0 or infinite
_DASHES = ("", "6 3", "2 3")  # curves are distinguishable without colours, too


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: for the legend.
        color: a class of the stylesheet.
        dash: the dash pattern, in SVG syntax.
        points: "x,y x,y ...", in SVG syntax.
        values: "kimg,value ..." of the same points, for the pointer.
        last: the last value, for the legend.
    """

    name: str
    color: str
    dash: str
    points: str
    values: str
    last: str


@dataclass(frozen=True)
class Tick:
    """A label of an axis.

    Attributes:
        x: position in units of the chart.
        y: position in units of the chart.
        label: the text.
    """

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Chart:
    """The content of `templates/chart.html`, in a box of `width` x `height` units."""

    title: str
    note: str  # what the curves mean, and which direction is better
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    is_log: bool = False
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT


def make_chart(title: str, curves: Mapping[str, Sequence[Point]], note: str = "") -> Chart | None:
    """Lay out curves over kimg.

    Args:
        title: of the chart.
        curves: {name: points}.
        note: what they mean.

    Returns:
        None if no curve has two points. Those that are not finite, or beyond 1e290, do not count.
    """
    shown = {name: [p for p in points if is_shown(p[1])] for name, points in curves.items()}
    lines = {name: downsample(points) for name, points in shown.items() if len(points) > 1}
    if not lines:
        return None
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    across = Axis.of(min(xs), max(xs), _LEFT, WIDTH - _RIGHT, margin=0)
    is_log = min(ys) >= _TINY and _DECADES <= max(ys) / min(ys) < math.inf
    up = Axis.of(min(ys), max(ys), HEIGHT - _BOTTOM, _TOP, is_log=is_log)
    drawn = [
        Curve(
            name=name,
            color=f"c{number % 6}",
            dash=_DASHES[number // 6 % 3],
            points=" ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in points),
            values=" ".join(f"{x:.10g},{y:.4g}" for x, y in points),
            last=f"{points[-1][1]:.4g}",
        )
        for number, (name, points) in enumerate(lines.items())
    ]
    x_ticks = [Tick(across.place(x), HEIGHT - 8, tick_label(x)) for x in across.ticks()]
    x_ticks[0] = replace(x_ticks[0], label=f"{x_ticks[0].label} kimg")
    y_ticks = [Tick(_LEFT - 6, round(up.place(y), 1), tick_label(y)) for y in up.ticks()]
    return Chart(title, note, drawn, x_ticks, y_ticks, is_log)


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic map from values to positions in the chart.

    Attributes:
        low, high: the values at its ends.
        start, end: the positions of its ends.
        is_log: whether the map is logarithmic; the values are above 0 then.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    @classmethod
    def of(
        cls,
        low: float,
        high: float,
        start: float,
        end: float,
        *,
        is_log: bool = False,
        margin: float = 0.05,
    ) -> "Axis":
        """Return an axis that is a little longer than the values, and never of length 0."""
        if is_log:
            factor = (high / low) ** margin
            return cls(low / factor, high * factor, start, end, is_log=True)
        space = (high - low) * margin
        if high - low < _TINY:
            space = abs(high) * 0.1 if abs(high) > _TINY else 1.0
        return cls(low - space, high + space, start, end)

    def place(self, value: float) -> float:
        """Return the position of a value."""
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values on the axis: 1, 2 or 5 times powers of ten."""
        if self.is_log:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)))
            decades = [10.0**e for e in (*exponents, exponents.stop)]
            inside = [x for x in decades if self.low <= x <= self.high]
            return inside[:: math.ceil(len(inside) / _TICKS)]
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        digits = 3 - math.floor(math.log10(step))
        return [round((first + n) * step, digits) + 0.0 for n in range(count)]


def is_shown(value: float) -> bool:
    """Return whether a value can be placed on an axis."""
    return abs(value) <= _HUGE  # False for NaN


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
