"""Small videos with sound, made frame by frame."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

NTSC = Fraction(30000, 1001)


def pictures(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Smooth frames, each of another shade, with a mark in the corner at the top left."""
    y, x = np.mgrid[: size[0], : size[1]]
    frames = []
    for i in range(count):
        shade = 40 + 150 * i // max(count - 1, 1)
        frame = np.stack([np.full(size, shade), 60 + 100 * x / size[1], 60 + 100 * y / size[0]], -1)
        frame[: size[0] // 3, : size[1] // 3] = 235
        frames.append(frame.round().astype(np.uint8))
    return frames


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str | None = None,
    rate: Fraction = NTSC,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    tags: dict[str, int] | None = None,
) -> Path:
    """A video, not by way of the package; sound: one second of it, in this codec."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(codec, rate=rate, options={"crf": "5", **(options or {})})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pixels
        video.codec_context.time_base = time_base or 1 / rate
        for key, value in (tags or {}).items():
            setattr(video.codec_context, key, value)
        voice: Any = container.add_stream(sound, rate=48000) if sound else None
        if voice:
            voice.layout = "mono"
        for i, frame in enumerate(frames):
            kind = {3: "rgb24", 4: "rgba"}[frame.shape[-1]]
            image: Any = av.VideoFrame.from_ndarray(frame, format=kind)
            matrix = "itu709" if (tags or {}).get("colorspace") == 1 else "itu601"
            image = image.reformat(format=pixels, dst_colorspace=matrix)
            image.pts, image.time_base = i if pts is None else pts[i], time_base or 1 / rate
            container.mux(video.encode(image))
        container.mux(video.encode(None))
        for k in range(47 if voice else 0):
            wave = 8000 * np.sin((np.arange(1024) + 1024 * k) * 0.05)
            tone: Any = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], "s16", "mono")
            tone.sample_rate, tone.pts, tone.time_base = 48000, 1024 * k, Fraction(1, 48000)
            container.mux(voice.encode(tone))
        if voice:
            container.mux(voice.encode(None))
    return path


def read_clip(path: Path) -> tuple[list[np.ndarray], list[Fraction], list[bytes]]:
    """Frames as RGB, when they are shown in seconds, and packets of sound; by FFmpeg alone."""
    import av

    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames, moments = [], []
        for frame in container.decode(video):
            frames.append(frame.to_ndarray(format="rgb24"))
            moments.append(frame.pts * frame.time_base)  # type: ignore[operator]
    with av.open(str(path)) as container:
        audio = container.streams.audio
        sound = [bytes(p) for p in container.demux(*audio) if p.size] if audio else []
    return frames, moments, sound


def turn(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Patch the matrix of an .mp4: its pixel (x, y) is to be shown at (a x + c y, b x + d y)."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 44
    matrix = np.array([a, b, 0, c, d], ">i4") * 2**16
    content[start : start + 20] = matrix.astype(">i4").tobytes()
    path.write_bytes(bytes(content))
    return path
