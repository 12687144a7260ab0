"""Videos hold the frames that were given, at their times, in the same bytes each time."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gantrain.data.bit_depth import ImageFault
from gantrain.errors import ConfigError
from gantrain.inference.video_reader import Frame
from gantrain.inference.video_writer import Encoding, VideoWriter
from tests.helpers.clips import NTSC, pictures, read_clip

av = pytest.importorskip("av", reason="videos need PyAV: pip install 'gantrain[video]'")
DEFAULT = Encoding()


def write(
    path: Path,
    frames: list[np.ndarray],
    encoding: Encoding = DEFAULT,
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
) -> None:
    size = (frames[0].shape[0], frames[0].shape[1])
    with (
        path.open("wb") as file,
        VideoWriter(file, path.suffix, size, NTSC, encoding, time_base=time_base) as writer,
    ):
        for i, frame in enumerate(frames):
            writer.write(Frame(frame, pts[i] if pts else i, 0))


@pytest.mark.parametrize(
    ("name", "codec", "levels"),
    [
        ("a.mp4", "auto", 3),
        ("a.mov", "h265", 3),
        ("a.webm", "auto", 3),
        ("a.mkv", "vp9", 3),
        ("a.mkv", "ffv1", 0),
    ],
)
def test_frames_and_their_times(tmp_path: Path, name: str, codec: str, levels: float) -> None:
    shown = pictures(12)
    write(tmp_path / name, shown, Encoding(codec))
    frames, moments, _ = read_clip(tmp_path / name)
    unit = Fraction(1, 1000) if name.endswith(("mkv", "webm")) else 0  # of these files
    assert len(frames) == 12
    for i in range(12):
        assert np.abs(frames[i].astype(int) - shown[i]).mean() <= levels
        assert abs(moments[i] - i / NTSC) <= unit


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_of_any_duration(tmp_path: Path, name: str) -> None:
    pts = [0, 7, 50, 51, 400, 1000, 1033]
    write(tmp_path / name, pictures(7), pts=pts, time_base=Fraction(1, 1000))
    assert read_clip(tmp_path / name)[1] == [Fraction(t, 1000) for t in pts]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "auto"), ("a.webm", "vp9"), ("a.mkv", "ffv1")]
)
def test_the_same_bytes_each_time(tmp_path: Path, name: str, codec: str) -> None:
    contents = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / name, pictures(30), Encoding(codec))
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "auto"), ("a.webm", "vp9")])
def test_bytes_do_not_depend_on_what_memory_held(tmp_path: Path, name: str, codec: str) -> None:
    """glibc fills new memory with a byte of $MALLOC_PERTURB_; other systems ignore it."""
    program = (
        "import sys; from pathlib import Path; "
        "from tests.inference.test_video_writer import Encoding, pictures, write; "
        "write(Path(sys.argv[1]), pictures(30), Encoding(sys.argv[2]))"
    )
    contents = []
    for filling in ("1", "200"):
        file = tmp_path / filling / name
        file.parent.mkdir()
        environment = {**os.environ, "MALLOC_PERTURB_": filling}
        subprocess.run([sys.executable, "-c", program, file, codec], env=environment, check=True)
        contents.append(file.read_bytes())
    assert contents[0] == contents[1]


def test_quality(tmp_path: Path) -> None:
    values = np.random.default_rng(0)
    noise = [values.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(4)]
    sizes = []
    for crf in (5, None, 40):
        write(tmp_path / "a.mp4", noise, Encoding(crf=crf))
        sizes.append((tmp_path / "a.mp4").stat().st_size)
    assert sizes[0] > 1.2 * sizes[1] > 1.5 * sizes[2]


def test_odd_sides_keep_their_size_and_colours(tmp_path: Path) -> None:
    shown = pictures(3, (31, 45))
    write(tmp_path / "a.mp4", shown)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv444p"
    frames, _, _ = read_clip(tmp_path / "a.mp4")
    assert frames[0].shape == (31, 45, 3)
    assert np.abs(frames[1].astype(int) - shown[1]).mean() < 2
    with pytest.raises(ImageFault, match=r"is 45x31, and video\.chroma=420 needs even sides"):
        write(tmp_path / "b.mp4", shown, Encoding(chroma=420))
    write(tmp_path / "c.mp4", pictures(3), Encoding(chroma=444))
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv444p"


@pytest.mark.parametrize("matrix", [1, 5, 6, 2, 9])
def test_the_matrix_is_named_and_used(tmp_path: Path, matrix: int) -> None:
    colour = np.broadcast_to(np.array([200, 40, 90], np.uint8), (32, 32, 3)).copy()
    path = tmp_path / "a.mp4"
    with (
        path.open("wb") as file,
        VideoWriter(file, ".mp4", (32, 32), NTSC, Encoding(), color=(1, 13, matrix)) as writer,
    ):
        for i in range(3):
            writer.write(Frame(colour, i, 1))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        named = matrix if matrix in (5, 6) else 1
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (1, 13, named)
        assert frame.color_range == 1
        shown = frame.reformat(
            format="rgb24", src_colorspace="itu709" if named == 1 else "itu601"
        ).to_ndarray()
    assert np.abs(shown.astype(int) - colour).max() <= 3


def test_what_a_file_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"\.webm file cannot hold h264.* or video\.codec=vp9"):
        Encoding("h264").codec_for(".webm")
    with pytest.raises(ConfigError, match=r"\.mp4 file cannot hold ffv1: use a name in \.mkv"):
        Encoding("ffv1").codec_for(".mp4")
    monkeypatch.setattr(av, "codecs_available", {"libvpx-vp9"})
    with pytest.raises(ConfigError, match=r"no encoder for h264 \(libx264\).*video.codec=vp9"):
        Encoding().codec_for(".mp4")


def test_names_of_results() -> None:
    names = {"a.MOV": ".MOV", "a.avi": ".mp4", "a.webm": ".webm", "a.mkv": ".mkv"}
    assert {name: Encoding().suffix(name) for name in names} == names
    assert {Encoding("ffv1").suffix(name) for name in names} == {".mkv"}
    assert (
        Encoding("vp9").suffix("a.mov") == ".webm" and Encoding("h264").suffix("a.webm") == ".mp4"
    )
