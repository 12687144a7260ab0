"""Write animated WebP and GIF files (Pillow) and MP4 videos (the extra gantrain[video])."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gantrain.inference.video_reader import Frame
from gantrain.inference.video_writer import Encoding, VideoWriter
from gantrain.io.files import atomic_write

Format = Literal["webp", "gif", "mp4"]
LOSSLESS_BELOW = 128  # pixels: in smaller images WebP's halved colour resolution would show
MP4_CRF = 10  # low: what a generator draws is looked at closely
GIF_TICK = 10  # milliseconds: a GIF counts in hundredths of a second


def write_animation(
    path: Path, frames: Iterable[Image.Image], kind: Format, *, fps: float, loop: bool
) -> None:
    """Write an animation atomically, one frame at a time.

    Args:
        path: the file.
        frames: of one mode (L, LA, RGB or RGBA) and size; MP4 drops alpha.
        kind: format of the file.
        fps: frames per second.
        loop: whether to play for ever or once; an MP4 leaves this to its player.
    """
    if kind == "mp4":
        _write_mp4(path, frames, fps)
        return
    later_frames = iter(frames)
    first = next(later_frames)
    settings: dict[str, Any] = {"duration": _duration_ms(fps, kind), "append_images": later_frames}
    if loop:
        settings["loop"] = 0
    elif kind == "webp":
        settings["loop"] = 1  # a GIF that plays once has no such entry
    if kind == "webp":
        lossless = min(first.size) < LOSSLESS_BELOW
        settings |= {"quality": 90, "method": 4, "lossless": lossless}
        first = _without_grey(first)
        settings["append_images"] = (_without_grey(frame) for frame in later_frames)
    with atomic_write(path) as file:
        first.save(file, format=kind.upper(), save_all=True, **settings)


def _duration_ms(fps: float, kind: Format) -> int:
    """Return the duration of a frame; both formats store integers."""
    if kind == "gif":
        return max(2, round(1000 / fps / GIF_TICK)) * GIF_TICK  # players slow down faster ones
    return max(1, round(1000 / fps))


def _without_grey(frame: Image.Image) -> Image.Image:
    return frame.convert("RGB") if frame.mode == "L" else frame


def _write_mp4(path: Path, frames: Iterable[Image.Image], fps: float) -> None:
    later_frames = iter(frames)
    first = next(later_frames)
    # Every player shows 4:2:0 subsampling, which needs even sides.
    size = (first.height + first.height % 2, first.width + first.width % 2)
    rate = Fraction(fps).limit_denominator(1001)
    with (
        atomic_write(path) as file,
        VideoWriter(file, ".mp4", size, rate, Encoding(crf=MP4_CRF)) as writer,
    ):
        for number, frame in enumerate(chain([first], later_frames)):
            writer.write(Frame(_padded(frame, size), number, 1))


def _padded(frame: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Return a frame as RGB of `size` (height, width), repeating the last row or column."""
    pixels = np.asarray(frame.convert("RGB"))
    padding = (size[0] - frame.height, size[1] - frame.width)
    return np.pad(pixels, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
