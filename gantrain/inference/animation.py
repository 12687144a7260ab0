"""Write animated WebP and GIF files (Pillow) and MP4 videos (the extra gantrain[video])."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gantrain.io.files import atomic_write

Format = Literal["webp", "gif", "mp4"]
LOSSLESS_BELOW = 128  # pixels: in smaller images WebP's halved colour resolution would show
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
    import imageio_ffmpeg  # type: ignore[import-not-found]

    later_frames = iter(frames)
    first = next(later_frames)
    # H.264 with 4:2:0 subsampling needs even sides.
    even_size = (first.width + first.width % 2, first.height + first.height % 2)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.mp4")
    settings: Any = {"fps": fps, "codec": "libx264", "quality": 8, "macro_block_size": 2}
    writer = imageio_ffmpeg.write_frames(str(temporary), even_size, **settings)
    writer.send(None)
    try:
        for pixels in _rgb_bytes(chain([first], later_frames), even_size):
            writer.send(pixels)
        writer.close()
        os.replace(temporary, path)
    finally:
        writer.close()
        temporary.unlink(missing_ok=True)


def _rgb_bytes(frames: Iterator[Image.Image], size: tuple[int, int]) -> Iterator[bytes]:
    """Yield frames as RGB bytes of `size` (width, height), repeating the last row or column."""
    for frame in frames:
        pixels = np.asarray(frame.convert("RGB"))
        padding = (size[1] - frame.height, size[0] - frame.width)
        pixels = np.pad(pixels, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
        yield np.ascontiguousarray(pixels).tobytes()
