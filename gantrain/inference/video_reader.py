"""Read a video frame by frame, with its timestamps and its sound (PyAV: gantrain[video]).

Only containers that hold their own streams are opened: a playlist would name files and addresses
that FFmpeg would then read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gantrain.data.bit_depth import ImageFault
from gantrain.errors import counted

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from av.video.frame import VideoFrame

EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".wmv", ".flv", ".ogv", ".3gp", ".y4m"),
)
_DEMUXERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,yuv4mpegpipe"
BT709, UNSPECIFIED, BT601 = 1, 2, (5, 6)  # AVColorSpace
_HDR = (16, 18)  # AVColorTransferCharacteristic: PQ and HLG
_HD_LINES = 720  # videos of at least this height that name no matrix mean BT.709, others BT.601
_SLACK = 0.5  # seconds that a complete file may lack of the duration in its header
_ALPHA = ("pal8", "yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya")  # how names begin


def is_video(name: str) -> bool:
    """Return whether a file name is that of a video."""
    return name.lower().endswith(EXTENSIONS) and not name.rpartition("/")[2].startswith(".")


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Args:
        pixels: upright, uint8 [H, W, 3] (RGB).
        pts: when it is shown, in units of the video's `time_base`.
        duration: how long, in the same units; 0: unknown.
    """

    pixels: np.ndarray
    pts: int
    duration: int


class VideoReader:
    """A video that is read once, from its first frame to its last; a context manager.

    Args:
        path: the file.

    Attributes:
        height, width: of an upright frame.
        time_base: unit of its timestamps in seconds.
        rate: frames per second on average.
        count: how many frames its header says there are, or as many as its duration holds.
        pixel_aspect: width of a pixel by its height; None: unknown.
        color: primaries, transfer and matrix, numbers of ITU-T H.273.
        audio: its sound.
        notes: what the frames lack of what the file holds; phrases that follow its name.

    Raises:
        ImageFault: it cannot be read, or holds what an RGB frame of 8 bits cannot.
    """

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("av") is None:
            raise ImageFault("is a video: pip install 'gantrain[video]'")
        import av.error

        self._errors = av.error.FFmpegError
        self._path = path
        try:
            self._container = av.open(str(path), options={"format_whitelist": _DEMUXERS})
        except (self._errors, OSError) as error:
            raise ImageFault(f"is no video that can be read ({_reason(error)})") from None
        try:
            self._open()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        videos = [s for s in self._container.streams.video if not _is_cover(s)]
        if not videos:
            raise ImageFault("holds no video")
        self._stream = stream = videos[0]
        self.audio: list[AudioStream] = list(self._container.streams.audio)
        self.notes: list[str] = []
        others = [s.type for s in self._container.streams if s not in (stream, *self.audio)]
        if others:
            kinds = ", ".join(sorted(set(others)))
            self.notes.append(f"has {counted(len(others), 'more stream')} ({kinds}), left out")
        assert stream.time_base is not None
        self.time_base: Fraction = stream.time_base
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        seconds = (self._container.duration or 0) / 1e6
        self.count = stream.frames or round(seconds * float(self.rate))
        stream.thread_type = "AUTO"
        self._events: Generator[Frame | Packet, None, None] = self._read()
        self._early: list[Frame | Packet] = []
        for event in self._events:
            self._early.append(event)
            if isinstance(event, Frame):
                self.height, self.width = event.pixels.shape[:2]
                return
        raise ImageFault("holds no frame that can be read")

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()
        self._container.close()

    def events(self) -> Iterator[Frame | Packet]:
        """Yield the frames, and packets of sound, in the order of the file.

        Raises:
            ImageFault: the file is damaged, ends early, or its frames differ in size.
        """
        yield from self._early
        self._early = []
        yield from self._events

    def _read(self) -> Generator[Frame | Packet, None, None]:
        decoder = _Decoder(self)
        packets, end = 0, 0.0
        try:
            for packet in self._container.demux(self._stream, *self.audio):
                if packet.size:
                    packets += packet.stream is self._stream
                    end = max(end, _end(packet))
                if packet.stream is self._stream:
                    yield from decoder.decode(packet)
                elif packet.dts is not None:
                    yield packet
        except self._errors as error:
            raise ImageFault(
                f"is damaged after {counted(decoder.frames, 'frame')} ({_reason(error)})"
            ) from None
        start = (self._container.start_time or 0) / 1e6
        lacking = (self._container.duration or 0) / 1e6 - (end - start)
        if packets < self._stream.frames or lacking > _SLACK:
            raise ImageFault(f"ends early, after {counted(decoder.frames, 'frame')}: copy it again")

    def describe_first(self, frame: VideoFrame) -> None:
        """Note what a first frame says about all of them.

        Raises:
            ImageFault: it has alpha or high dynamic range.
        """
        layout = frame.format
        if self._stream.metadata.get("alpha_mode") == "1" or layout.name.startswith(_ALPHA):
            raise ImageFault(
                f"has an alpha channel ({layout.name}), which a result cannot store: remove it, "
                "such as by ffmpeg -i IN -pix_fmt yuv420p OUT"
            )
        if frame.color_trc in _HDR:
            raise ImageFault("has high dynamic range (PQ or HLG): convert it to BT.709 first")
        if (bits := max(part.bits for part in layout.components)) > 8:
            self.notes.append(f"has {bits} bits per channel, of which 8 are used")
        if frame.interlaced_frame:
            self.notes.append("is interlaced: a frame holds lines of two moments; deinterlace it")
        aspect = self._stream.sample_aspect_ratio
        is_turned = bool(_orientation(frame)[0])
        self.pixel_aspect = 1 / aspect if aspect and is_turned else aspect or None
        self.color = frame.color_primaries, frame.color_trc, _matrix(frame)


class _Decoder:
    """Decodes the packets of a reader's video."""

    def __init__(self, reader: VideoReader) -> None:
        self._reader = reader
        self.frames = 0
        self._last: int | None = None

    def decode(self, packet: Packet) -> Iterator[Frame]:
        frame: Any
        for frame in packet.decode():
            if frame.is_corrupt:
                raise ImageFault(f"is damaged after {counted(self.frames, 'frame')}")
            if not self.frames:
                self._reader.describe_first(frame)
            pixels = _to_rgb(frame)
            size = pixels.shape[:2]
            if self.frames and size != (self._reader.height, self._reader.width):
                raise ImageFault(
                    f"changes its size after {counted(self.frames, 'frame')}, to "
                    f"{size[1]}x{size[0]}: split it there"
                )
            self.frames += 1
            yield Frame(pixels, self._pts(frame), frame.duration or 0)

    def _pts(self, frame: VideoFrame) -> int:
        """Return a timestamp above those before it; some files lack them or repeat them."""
        pts = frame.pts
        if self._last is not None and (pts is None or pts <= self._last):
            step = 1 if pts is not None else round(1 / self._reader.rate / self._reader.time_base)
            pts = self._last + max(step, 1)
        self._last = pts or 0
        return self._last


def _is_cover(stream: Any) -> bool:
    return "attached_pic" in str(stream.disposition.name or "").lower()


def _end(packet: Packet) -> float:
    """Return when a packet's content ends, in seconds."""
    moment = packet.pts if packet.pts is not None else packet.dts
    if moment is None or packet.time_base is None:
        return 0.0
    return float((moment + (packet.duration or 0)) * packet.time_base)


def _matrix(frame: VideoFrame) -> int:
    """Return the AVColorSpace of a frame; for one that names none the usual one."""
    if frame.colorspace in (UNSPECIFIED, 0):
        return BT709 if frame.height >= _HD_LINES else BT601[1]
    return int(frame.colorspace)


def _to_rgb(frame: VideoFrame) -> np.ndarray:
    """Return a frame as it is to be seen, uint8 [H, W, 3]."""
    is_turned, flips_rows, flips_columns = _orientation(frame)
    if not frame.format.is_rgb:
        names = {BT709: "itu709", BT601[0]: "itu601", BT601[1]: "itu601"}
        frame = frame.reformat(format="rgb24", src_colorspace=names.get(_matrix(frame)))
    pixels = frame.to_ndarray(format="rgb24")
    pixels = pixels.transpose(1, 0, 2) if is_turned else pixels
    pixels = pixels[::-1] if flips_rows else pixels
    return np.ascontiguousarray(pixels[:, ::-1] if flips_columns else pixels)


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Return how a frame is made upright: transposed, rows flipped, columns flipped, in this order.

    The display matrix [a b .; c d .; . . .] maps a pixel (x, y) to (a x + c y, b x + d y).

    Raises:
        ImageFault: it is no multiple of 90 degrees.
    """
    all_data: Any = frame.side_data
    sides = [side for side in all_data if side.type.name == "DISPLAYMATRIX"]
    if not sides:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(sides[0]), np.int32)[:5]
    if a and d and not (b or c):
        return False, bool(d < 0), bool(a < 0)
    if b and c and not (a or d):
        return True, bool(b < 0), bool(c < 0)
    raise ImageFault(f"is turned by {frame.rotation} degrees: only multiples of 90 are known")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().lower()
