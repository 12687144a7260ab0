"""Write a video frame by frame (PyAV: gantrain[video])."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gantrain.data.bit_depth import ImageFault
from gantrain.errors import ConfigError
from gantrain.inference.video_reader import BT601, BT709, UNSPECIFIED, Frame

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet

_MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_THREADS = 1  # of an encoder: several ones do not always make the same bits
_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION: encoders hand durations on


@dataclass(frozen=True)
class _Codec:
    """A codec: its encoder, its default quality, the encoder's options and its containers."""

    encoder: str
    crf: int | None
    options: dict[str, str]
    suffixes: tuple[str, ...]


_CODECS = {
    # Its macroblock tree reads memory that nothing was written to: other bytes each time.
    "h264": _Codec("libx264", 18, {"x264-params": "mbtree=0"}, (".mp4", ".m4v", ".mov", ".mkv")),
    "h265": _Codec(
        "libx265", 20, {"x265-params": "log-level=error"}, (".mp4", ".m4v", ".mov", ".mkv")
    ),
    "vp9": _Codec("libvpx-vp9", 24, {"b": "0"}, (".webm", ".mkv", ".mp4")),
    "ffv1": _Codec("ffv1", None, {}, (".mkv",)),
}


@dataclass(frozen=True)
class Encoding:
    """How a video is compressed.

    Args:
        codec: h264, h265, vp9, ffv1 (lossless), or "auto": VP9 in .webm, else H.264.
        crf: constant rate factor of the codec, lower is better; None: one at which losses can
            hardly be seen.
        chroma: 420 halves the colour resolution, which every player knows; 444 keeps it; "auto":
            420 unless a side is odd.
    """

    codec: str = "auto"
    crf: int | None = None
    chroma: int | str = "auto"

    def describe(self) -> str:
        """Return the settings as one line."""
        return f"codec={self.codec} crf={self.crf} chroma={self.chroma}"

    def suffix(self, name: str) -> str:
        """Return the suffix of a video's result: its own if that can hold the codec."""
        suffix = Path(name).suffix
        fitting = _CODECS["h264" if self.codec == "auto" else self.codec].suffixes
        is_webm = self.codec == "auto" and suffix.lower() == ".webm"
        return suffix if suffix.lower() in fitting or is_webm else fitting[0]

    def codec_for(self, suffix: str) -> _Codec:
        """Return the codec for a container.

        Raises:
            ConfigError: the container cannot hold it, or this FFmpeg has no such encoder.
        """
        import av

        suffix = suffix.lower()
        name = ("vp9" if suffix == ".webm" else "h264") if self.codec == "auto" else self.codec
        codec = _CODECS[name]
        if suffix not in codec.suffixes:
            fitting = [other for other, entry in _CODECS.items() if suffix in entry.suffixes]
            raise ConfigError(
                f"A {suffix} file cannot hold {name}: use a name in {' or '.join(codec.suffixes)}"
                + (f", or video.codec={fitting[0]}." if fitting else ".")
            )
        if codec.encoder not in av.codecs_available:
            others = [n for n, entry in _CODECS.items() if entry.encoder in av.codecs_available]
            raise ConfigError(
                f"The installed av has no encoder for {name} ({codec.encoder}): install it from "
                f"PyPI, or use video.codec={others[0] if others else 'ffv1'}."
            )
        return codec

    def pixel_format(self, codec: _Codec, height: int, width: int) -> str:
        """Return FFmpeg's name of the format that stores a frame.

        Raises:
            ImageFault: chroma=420 and a side is odd.
        """
        if codec.encoder == "ffv1":
            return "bgr0"  # RGB, lossless
        is_odd = height % 2 or width % 2
        if self.chroma == 420 and is_odd:
            raise ImageFault(
                f"is {width}x{height}, and video.chroma=420 needs even sides: leave it out"
            )
        return "yuv444p" if self.chroma == 444 or is_odd else "yuv420p"


class VideoWriter:
    """Writes a video; a context manager.

    The same frames and settings give the same bytes with the same FFmpeg.

    Args:
        file: a seekable file.
        suffix: of its name, which sets the container.
        size: (height, width) of the frames.
        rate: frames per second, for players and for the encoder's decisions.
        encoding: how frames are compressed.
        time_base: unit of the timestamps in seconds; None: 1 / rate.
        color: primaries, transfer and matrix that the file names, see `VideoReader`.
        pixel_aspect: width of a pixel by its height.
        audio: sound to copy from a reader.

    Attributes:
        lost: names of the codecs of sound that the container cannot hold.

    Raises:
        ConfigError: see `Encoding.codec_for`.
        ImageFault: see `Encoding.pixel_format`.
    """

    def __init__(
        self,
        file: IO[bytes],
        suffix: str,
        size: tuple[int, int],
        rate: Fraction,
        encoding: Encoding,
        *,
        time_base: Fraction | None = None,
        color: tuple[int, int, int] | None = None,
        pixel_aspect: Fraction | None = None,
        audio: Sequence[AudioStream] = (),
    ) -> None:
        import av

        codec = encoding.codec_for(suffix)
        pixel_format = encoding.pixel_format(codec, *size)
        muxer = _MUXERS[suffix.lower()]
        self._time_base = time_base or 1 / rate
        # bitexact: no random identifier and no version of FFmpeg in the file
        container = av.open(file, "w", format=muxer, options={"fflags": "+bitexact"})
        self._container: Any = container
        self._stream: Any = container.add_stream(codec.encoder, rate=rate)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = pixel_format
        context = self._stream.codec_context
        context.time_base = self._time_base
        context.thread_count = _THREADS
        context.flags |= _FRAME_DURATION
        crf = codec.crf if encoding.crf is None else encoding.crf
        context.options = codec.options | ({} if codec.crf is None else {"crf": str(crf)})
        if pixel_aspect:
            context.sample_aspect_ratio = pixel_aspect
        self._matrix = "itu709"
        if pixel_format.startswith("yuv"):
            primaries, transfer, matrix = color or (UNSPECIFIED, UNSPECIFIED, BT709)
            self._matrix = "itu601" if matrix in BT601 else "itu709"
            context.color_primaries, context.color_trc = primaries, transfer
            context.colorspace = matrix if matrix in BT601 else BT709
            context.color_range = 1  # limited
        self._waiting: Frame | None = None
        self._copies: dict[int, Any] = {}
        self.lost: list[str] = []
        for stream in audio:
            name = stream.codec_context.name
            if name in container.supported_codecs:
                copy: Any = container.add_stream_from_template(stream)
                copy.metadata.update(stream.metadata)
                self._copies[stream.index] = copy
            else:
                self.lost.append(name)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                if self._waiting:
                    self._encode(self._waiting)
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, frame: Frame) -> None:
        """Append a frame, whose timestamp is above that of the one before."""
        if self._waiting:  # it lasts until this one, whatever its file says
            duration = frame.pts - self._waiting.pts
            self._encode(Frame(self._waiting.pixels, self._waiting.pts, duration))
        self._waiting = frame

    def _encode(self, frame: Frame) -> None:
        import av

        image: Any = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")
        if self._stream.pix_fmt.startswith("yuv"):
            image = image.reformat(
                format=self._stream.pix_fmt, dst_colorspace=self._matrix, dst_color_range="MPEG"
            )
        image.pts, image.time_base = frame.pts, self._time_base
        image.duration = frame.duration
        self._container.mux(self._stream.encode(image))

    def copy(self, packet: Packet) -> None:
        """Append a packet of sound, unless the container cannot hold it."""
        if (stream := self._copies.get(packet.stream.index)) is not None:
            packet.stream = stream
            self._container.mux(packet)
