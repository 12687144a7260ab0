from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageSequence

from gantrain.inference.animation import write_animation


def frames(count: int = 4, mode: str = "RGB", size: tuple[int, int] = (16, 12)) -> Any:
    for i in range(count):
        shade = 20 + 40 * i
        yield Image.new(mode, size, {"L": shade, "RGB": (shade,) * 3, "RGBA": (shade,) * 4}[mode])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_every_frame_is_there(tmp_path: Path, kind: Literal["webp", "gif"], mode: str) -> None:
    path = tmp_path / f"video.{kind}"
    write_animation(path, frames(mode=mode), kind, fps=25, loop=True)
    with Image.open(path) as video:
        assert video.info["loop"] == 0
        shown, durations = [], []
        for frame in ImageSequence.Iterator(video):
            shown.append(np.asarray(frame.convert("RGB")).mean())
            durations.append(frame.info["duration"])
    if mode != "RGBA":  # nearly transparent colours are stored coarsely
        assert shown == pytest.approx([20, 60, 100, 140], abs=3)
    assert durations == [40] * 4
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_large_pictures_are_stored_small(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(128, 20, (2, 128, 128, 3)).astype(np.uint8)
    pictures = [Image.fromarray(image) for image in values]
    write_animation(tmp_path / "v", pictures, "webp", fps=30, loop=True)
    assert (tmp_path / "v").stat().st_size < 0.7 * values.size


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_an_open_path_plays_once(tmp_path: Path, kind: Literal["webp", "gif"]) -> None:
    write_animation(tmp_path / "v", frames(), kind, fps=200, loop=False)
    with Image.open(tmp_path / "v") as video:
        video.load()
        assert video.info.get("loop", 1) == 1
        # a GIF counts in hundredths of a second, and players take 1 for "slow"
        assert video.info["duration"] == {"webp": 5, "gif": 20}[kind]


@pytest.mark.parametrize("kind", ["webp", "gif", "mp4"])
def test_a_failing_frame_leaves_no_file(
    tmp_path: Path, kind: Literal["webp", "gif", "mp4"]
) -> None:
    if kind == "mp4":
        pytest.importorskip("av", reason="pip install 'gantrain[video]'")

    def failing() -> Any:
        yield from frames(2)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        write_animation(tmp_path / "v", failing(), kind, fps=30, loop=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [24, 0.5, 30000 / 1001])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_mp4_gets_even_rgb_frames(tmp_path: Path, mode: str, fps: float) -> None:
    av = pytest.importorskip("av", reason="pip install 'gantrain[video]'")
    write_animation(tmp_path / "v.mp4", frames(5, mode, (33, 27)), "mp4", fps=fps, loop=True)
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    with av.open(str(tmp_path / "v.mp4")) as video:
        stream = video.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(fps)
        assert stream.codec_context.pix_fmt == "yuv420p"  # which browsers show
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
    assert [frame.shape for frame in shown] == [(28, 34, 3)] * 5
    assert [frame.mean() for frame in shown] == pytest.approx([20, 60, 100, 140, 180], abs=2)
    assert max(int(np.ptp(frame)) for frame in shown) <= 4
