"""Translate a video frame by frame; a batch of frames is all that is in memory."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.data.bit_depth import ImageFault, Picture, to_channels
from gantrain.inference.video_reader import Frame, VideoReader
from gantrain.inference.video_writer import Encoding, VideoWriter
from gantrain.io.files import atomic_write
from gantrain.ops.value_range import to_float, to_uint8

# float images [C, H, W] of one size in [-1, 1] to their results, or to why there is none
Translate = Callable[[list[Tensor]], Iterable[Tensor | str]]


class Stopped(Exception):
    """The translation was stopped before its end; nothing is written."""


def translate_video(
    reader: VideoReader,
    target: Path,
    translate: Translate,
    encoding: Encoding,
    *,
    channels: int,
    batch: int,
    is_stopped: Callable[[], bool],
    advance: Callable[[int], None],
) -> list[str]:
    """Translate a video to a file, which is written whole or not at all.

    Frames keep their timestamps, sound is copied.

    Args:
        reader: the video.
        target: the file; its suffix sets the container.
        translate: translates frames.
        encoding: how results are compressed.
        channels: of the network's input.
        batch: frames translated at once.
        is_stopped: asked before each batch.
        advance: told how many frames are done.

    Returns:
        What the result lacks of the video; phrases that follow its name.

    Raises:
        ImageFault: the video cannot be read or its results cannot be stored.
        ConfigError: the container cannot hold the codec.
        OSError: the file cannot be written.
        Stopped: `is_stopped` returned True.
    """
    with (
        atomic_write(target) as file,
        VideoWriter(
            file,
            target.suffix,
            (reader.height, reader.width),
            reader.rate,
            encoding,
            time_base=reader.time_base,
            color=reader.color,
            pixel_aspect=reader.pixel_aspect,
            audio=reader.audio,
        ) as writer,
    ):
        for frames in _batches(reader, batch, writer.copy):
            if is_stopped():
                raise Stopped
            images = [_to_image(frame, channels) for frame in frames]
            for frame, result in zip(frames, translate(images), strict=True):
                writer.write(Frame(_to_pixels(result), frame.pts, frame.duration))
            advance(len(frames))
    lost = [
        f"has sound ({name}) that a {target.suffix} file cannot hold: its result lacks it; use .mkv"
        for name in writer.lost
    ]
    return [*reader.notes, *lost, *_remarks(reader, encoding, target)]


def _batches(reader: VideoReader, batch: int, copy: Callable[[Any], None]) -> Iterator[list[Frame]]:
    """Yield up to `batch` successive frames; copy what lies between them."""
    frames: list[Frame] = []
    for event in reader.events():
        if not isinstance(event, Frame):
            copy(event)
            continue
        frames.append(event)
        if len(frames) == batch:
            yield frames
            frames = []
    if frames:
        yield frames


def _to_image(frame: Frame, channels: int) -> Tensor:
    if channels not in (1, 3):
        raise ImageFault(f"has frames in colour, and the network takes {channels} channels")
    pixels = to_channels(Picture(frame.pixels), channels).pixels
    return to_float(torch.from_numpy(np.ascontiguousarray(pixels))).permute(2, 0, 1)


def _to_pixels(result: Tensor | str) -> np.ndarray:
    """Return the RGB frame of a result, float [C, H, W] in [-1, 1]."""
    if isinstance(result, str):
        raise ImageFault(result)
    if len(result) not in (1, 3):
        raise ImageFault(
            f"has results with {len(result)} channels, and a frame has 1 or 3: translate a folder "
            "of its frames"
        )
    pixels = to_uint8(result).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _remarks(reader: VideoReader, encoding: Encoding, target: Path) -> list[str]:
    codec = encoding.codec_for(target.suffix)
    layout = encoding.pixel_format(codec, reader.height, reader.width)
    if layout == "yuv444p" and encoding.chroma == "auto":
        return [
            f"is {reader.width}x{reader.height}: with an odd side its result keeps the full colour "
            "resolution (4:4:4), which some players do not show"
        ]
    return []
