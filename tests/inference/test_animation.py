import sys
from pathlib import Path
from types import SimpleNamespace
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


def test_a_failing_frame_leaves_no_file(tmp_path: Path) -> None:
    def failing() -> Any:
        yield from frames(2)
        raise RuntimeError("out of memory")

    for kind in ("webp", "gif"):
        with pytest.raises(RuntimeError):
            write_animation(tmp_path / "v", failing(), kind, fps=30, loop=True)
    assert list(tmp_path.iterdir()) == []


def test_mp4_gets_even_rgb_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is an extra: here a stand-in that stores what it is sent."""
    asked: dict[str, Any] = {}

    def write_frames(path: str, size: tuple[int, int], **settings: Any) -> Any:
        asked.update(settings, size=size)
        with open(path, "wb") as file:
            while True:
                file.write((yield))

    module: Any = SimpleNamespace(write_frames=write_frames)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", module)
    write_animation(tmp_path / "v.mp4", frames(3, "L", (15, 11)), "mp4", fps=24, loop=True)
    assert asked["size"] == (16, 12) and asked["fps"] == 24
    stored = np.frombuffer((tmp_path / "v.mp4").read_bytes(), np.uint8).reshape(3, 12, 16, 3)
    assert [int(frame.min()) for frame in stored] == [20, 60, 100]
    assert [int(frame.max()) for frame in stored] == [20, 60, 100]
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_mp4_for_real(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    write_animation(tmp_path / "v.mp4", frames(5, size=(33, 32)), "mp4", fps=25, loop=True)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "v.mp4"))
    about = next(reader)
    shown = [np.frombuffer(frame, np.uint8).mean() for frame in reader]
    assert about["source_size"] == (34, 32) and about["fps"] == 25
    assert shown == pytest.approx([20, 60, 100, 140, 180], abs=4)
