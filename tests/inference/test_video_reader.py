"""Frames come as they are to be seen and when; what a frame cannot hold is refused or said."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gantrain.data.bit_depth import ImageFault
from gantrain.inference.video_reader import Frame, VideoReader, is_video
from tests.helpers.clips import NTSC, pictures, turn, write_clip

pytest.importorskip("av", reason="videos need PyAV: pip install 'gantrain[video]'")


def frames_of(path: Path) -> list[Frame]:
    with VideoReader(path) as reader:
        return [event for event in reader.events() if isinstance(event, Frame)]


def close_to(x: np.ndarray, y: np.ndarray, levels: float) -> bool:
    """But for the mark's edges, where the halved colour resolution shows."""
    return x.shape == y.shape and float(np.abs(x.astype(int) - y).mean()) < levels


def test_names_of_videos() -> None:
    assert is_video("a/b/clip.MP4") and is_video("x.webm")
    assert not is_video("a.png") and not is_video("a/.clip.mp4") and not is_video("mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts"])
def test_frames_in_order_with_their_timestamps(tmp_path: Path, name: str) -> None:
    shown = pictures(9)
    path = write_clip(tmp_path / name, shown, sound="aac")
    with VideoReader(path) as reader:
        assert (reader.height, reader.width) == (48, 64) and len(reader.audio) == 1
        assert abs(reader.rate - NTSC) < Fraction(1, 100)
        unit = reader.time_base
        events = list(reader.events())
    frames = [event for event in events if isinstance(event, Frame)]
    assert len(frames) == 9 and len(events) > 40
    for i, (frame, picture) in enumerate(zip(frames, shown, strict=True)):
        assert close_to(frame.pixels, picture, 3)
        assert abs((frame.pts - frames[0].pts) * unit - i / NTSC) <= unit
    assert all(y.pts > x.pts for x, y in pairwise(frames))


TURNS = {  # (a, b, c, d): what the pixels undergo
    (1, 0, 0, 1): lambda x: x,
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),  # as of a phone held upright
    (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (0, 1, 1, 0): lambda x: x.transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_turned_videos_become_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    shown = pictures(2)
    path = turn(write_clip(tmp_path / "a.mp4", shown), *matrix)
    with VideoReader(path) as reader:
        [first, _] = reader.events()
        assert isinstance(first, Frame)
        upright = TURNS[matrix](shown[0])
        assert (reader.height, reader.width) == upright.shape[:2]
        assert close_to(first.pixels, upright, 3)


def test_the_shape_of_pixels_turns_along(tmp_path: Path) -> None:
    tags = {"sample_aspect_ratio": Fraction(4, 3)}
    path = write_clip(tmp_path / "a.mp4", pictures(2), tags=tags)  # type: ignore[arg-type]
    with VideoReader(path) as reader:
        assert reader.pixel_aspect == Fraction(4, 3)
    with VideoReader(turn(path, 0, 1, -1, 0)) as reader:
        assert reader.pixel_aspect == Fraction(3, 4)


@pytest.mark.parametrize(("colorspace", "size"), [(1, (32, 32)), (6, (32, 32)), (5, (736, 32))])
def test_colours_by_the_matrix_that_the_file_names(
    tmp_path: Path, colorspace: int, size: tuple[int, int]
) -> None:
    colour = np.array([200, 40, 90], np.uint8)
    shown = [np.broadcast_to(colour, (*size, 3)).copy()] * 2
    tags = {"colorspace": colorspace}
    path = write_clip(tmp_path / "a.mp4", shown, pixels="yuv444p", tags=tags)
    assert np.abs(frames_of(path)[0].pixels.astype(int) - colour).max() <= 2


def test_a_large_video_without_a_matrix_means_bt_709(tmp_path: Path) -> None:
    colour = np.array([200, 40, 90], np.uint8)
    for height in (704, 720):
        shown = [np.broadcast_to(colour, (height, 32, 3)).copy()] * 2
        # written by the matrix of BT.601, whatever is read
        path = write_clip(tmp_path / f"{height}.mp4", shown, pixels="yuv444p")
        difference = np.abs(frames_of(path)[0].pixels.astype(int) - colour).max()
        assert difference <= 2 if height == 704 else difference > 8


def test_what_eight_bits_of_rgb_cannot_hold(tmp_path: Path) -> None:
    deep = write_clip(tmp_path / "deep.mkv", pictures(2), codec="ffv1", pixels="yuv420p10le")
    with VideoReader(deep) as reader:
        assert reader.notes == ["has 10 bits per channel, of which 8 are used"]
    hdr = write_clip(
        tmp_path / "hdr.mkv", pictures(2), pixels="yuv420p10le", tags={"color_trc": 16}
    )
    with pytest.raises(ImageFault, match="has high dynamic range"):
        VideoReader(hdr)
    clear = [np.concatenate([x, x[..., :1]], -1) for x in pictures(2)]
    alpha = write_clip(tmp_path / "alpha.mkv", clear, codec="ffv1", pixels="yuva420p")
    with pytest.raises(ImageFault, match=r"has an alpha channel \(yuva420p\)"):
        VideoReader(alpha)


def test_a_file_without_its_index(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", pictures(20))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageFault, match="is no video that can be read"):
        VideoReader(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.webm"])
def test_a_file_that_ends_early(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0)
    noise = [values.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(60)]
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    options = {"movflags": "faststart"}
    path = write_clip(tmp_path / name, noise, codec=codec)
    if name == "a.mp4":  # with its index in front, as for the web
        import av

        with av.open(str(path)) as old, av.open(str(path) + "2", "w", "mp4", options) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
        path = Path(str(path) + "2")
    assert len(frames_of(path)) == 60
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])
    with pytest.raises(ImageFault, match=r"ends early|is damaged"):
        frames_of(path)


def test_other_streams_are_told(tmp_path: Path) -> None:
    import av

    path = write_clip(tmp_path / "a.mkv", pictures(3))
    with av.open(str(path)) as old, av.open(str(tmp_path / "b.mkv"), "w") as new:
        streams = [new.add_stream_from_template(old.streams.video[0]) for _ in range(2)]
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = streams[0]
                new.mux(packet)
    with VideoReader(tmp_path / "b.mkv") as reader:
        assert reader.notes == ["has 1 more stream (video), left out"]


@pytest.mark.parametrize(
    "text",
    ["ffconcat version 1.0\nfile a.mp4\n", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.mp4\n"],
)
def test_a_playlist_does_not_lead_to_other_files(tmp_path: Path, text: str) -> None:
    write_clip(tmp_path / "a.mp4", pictures(2))
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(ImageFault, match="is no video that can be read"):
        VideoReader(tmp_path / "list.mp4")


def test_frames_that_change_their_size(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{i}.ts", pictures(5, size), sound=None)
        for i, size in enumerate([(48, 64), (32, 64)])
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(ImageFault, match="changes its size after 5 frames, to 64x32"):
        frames_of(joined)
