"""The settings of data=folder about what files hold: bands, pages, ranges; and their record."""

from collections.abc import Iterable, Sequence
from typing import Any

from gantrain.data.bit_depth import PixelFormat
from gantrain.data.views import Formats, Layout, Pages, Window
from gantrain.errors import ConfigError


def make_formats(
    pages: Pages | None,
    array_layout: Layout | None,
    array_name: str | None,
    slices: int | None,
    window: Window | None,
    prefix: str = "data.",
) -> Formats:
    """Return the settings that say how files are read, see `Formats`.

    Args:
        pages: see `Formats`.
        array_layout: see `Formats`.
        array_name: see `Formats`.
        slices: see `Formats`.
        window: see `Formats`; a list of two numbers.
        prefix: of the keys, for errors.

    Raises:
        ConfigError: the window is none.
    """
    if not isinstance(window, list):
        return Formats(pages, array_layout, array_name, slices, window)
    if len(window) != 2 or not window[1] > 1:
        raise ConfigError(
            f"{prefix}window={window} is not a window: give [center,width], such as [40,400], or "
            "file."
        )
    return Formats(pages, array_layout, array_name, slices, (float(window[0]), float(window[1])))


def check_window(
    formats: Formats, ranges: Iterable[tuple[float, float]], prefix: str = "data."
) -> None:
    """Check that a window and the ranges of the domains go together.

    Args:
        formats: with the window, if any.
        ranges: of each domain, the numbers that become -1 and 1.
        prefix: of the keys, for errors.

    Raises:
        ConfigError: windows give numbers from 0 to 1, and no domain has this range: nearly all
            contrast would be lost.
    """
    ranges = [*ranges]
    if formats.window is None or (0.0, 1.0) in ranges:
        return
    low, high = ranges[0]
    window = formats.window if formats.window == "file" else f"[{_numbers(*formats.window)}]"
    raise ConfigError(
        f"{prefix}window={window} makes numbers from 0 to 1, and value_range="
        f"[{_numbers(low, high)}] is about others: use {prefix}value_range=[0,1], or "
        "leave out the window."
    )


def _numbers(low: float, high: float) -> str:
    return f"{low:g},{high:g}"


def check_show(show: Sequence[int] | None, channels: Sequence[int]) -> list[int] | None:
    """Return the bands that grids show, from 1.

    Args:
        show: the setting data.show.
        channels: of each domain.

    Raises:
        ConfigError: they are not one or three bands that a domain has.
    """
    if show is None:
        return None
    most = max(channels)
    if len(show) not in (1, 3) or any(not 1 <= band <= most for band in show):
        raise ConfigError(
            f"data.show={list(show)} are not bands to show: give one (as grey) or three (as red, "
            f"green and blue), from 1 to {most}."
        )
    return list(show)


def describe_pixels(pixels: PixelFormat, alpha: bool, stacked: int) -> dict[str, Any]:
    """Return what a snapshot records of the pixels of a domain.

    Args:
        pixels: their format.
        alpha: whether the last channel is alpha.
        stacked: number of folders whose images are stacked; 1: none are.
    """
    return {
        "value_range": [pixels.low, pixels.high] if pixels.holds_numbers else None,
        "clip": pixels.clip,
        "alpha": alpha,
        "stacked": stacked,
    }
