"""Frames to an animated WebP or GIF (Pillow), or to MP4 (the extra gantrain[video])."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gantrain.io.files import atomic_write

Format = Literal["webp", "gif", "mp4"]
SMALL = 128  # pixels: below, WebP's halved colour resolution would show
GIF_TICK = 10  # milliseconds: a GIF counts in hundredths of a second


def write_animation(
    path: Path, frames: Iterable[Image.Image], kind: Format, *, fps: float, loop: bool
) -> None:
    """Write the frames (mode L, RGB or RGBA, one size) as they come, whole or not at all.

    Args:
        loop: play for ever, else once (an MP4's player decides for itself).

    MP4 has no transparency: alpha is dropped.
    """
    if kind == "mp4":
        _write_mp4(path, frames, fps)
        return
    rest = iter(frames)
    first = next(rest)
    settings: dict[str, Any] = {"duration": _milliseconds(fps, kind), "append_images": rest}
    if loop:
        settings["loop"] = 0
    elif kind == "webp":
        settings["loop"] = 1  # a GIF that plays once has no entry about it
    if kind == "webp":
        settings |= {"quality": 90, "method": 4, "lossless": min(first.size) < SMALL}
        first, settings["append_images"] = _rgb(first), (_rgb(frame) for frame in rest)
    with atomic_write(path) as file:
        first.save(file, format=kind.upper(), save_all=True, **settings)


def _milliseconds(fps: float, kind: Format) -> int:
    """Of one frame; both formats know whole numbers only."""
    if kind == "gif":
        return max(2, round(1000 / fps / GIF_TICK)) * GIF_TICK  # players slow down what is faster
    return max(1, round(1000 / fps))


def _rgb(frame: Image.Image) -> Image.Image:
    return frame.convert("RGB") if frame.mode == "L" else frame


def _write_mp4(path: Path, frames: Iterable[Image.Image], fps: float) -> None:
    import imageio_ffmpeg  # type: ignore[import-not-found]

    rest = iter(frames)
    first = next(rest)
    even = (first.width + first.width % 2, first.height + first.height % 2)  # H.264 in 4:2:0
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.mp4")
    settings: Any = {"fps": fps, "codec": "libx264", "quality": 8, "macro_block_size": 2}
    writer = imageio_ffmpeg.write_frames(str(temporary), even, **settings)
    writer.send(None)
    try:
        for pixels in _raw(chain([first], rest), even):
            writer.send(pixels)
        writer.close()
        os.replace(temporary, path)
    finally:
        writer.close()
        temporary.unlink(missing_ok=True)


def _raw(frames: Iterator[Image.Image], size: tuple[int, int]) -> Iterator[bytes]:
    """RGB bytes; a side that is odd repeats its last line."""
    for frame in frames:
        pixels = np.asarray(frame.convert("RGB"))
        missing = (size[1] - frame.height, size[0] - frame.width)
        pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        yield np.ascontiguousarray(pixels).tobytes()
