"""A translated video has the frames, times and sound of its input; little is in memory."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from gantrain.data.bit_depth import ImageFault
from gantrain.inference.video_reader import VideoReader
from gantrain.inference.video_translation import Stopped, translate_video
from gantrain.inference.video_writer import Encoding
from tests.helpers.clips import NTSC, pictures, read_clip, write_clip

pytest.importorskip("av", reason="videos need PyAV: pip install 'gantrain[video]'")
LOSSLESS = Encoding("ffv1")


def unchanged(images: list[Tensor]) -> Iterable[Tensor | str]:
    return images


def translate(source: Path, target: Path, encoding: Encoding = LOSSLESS, **given: Any) -> list[str]:
    settings = {"channels": 3, "batch": 4, "is_stopped": lambda: False, "advance": lambda n: None}
    translator = given.pop("translate", unchanged)
    with VideoReader(source) as reader:
        return translate_video(reader, target, translator, encoding, **{**settings, **given})


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_frames_times_and_sound_are_those_of_the_input(tmp_path: Path, batch: int) -> None:
    pts = [0, 20, 61, 62, 300, 333, 400, 500, 512, 900]
    source = write_clip(
        tmp_path / "a.mkv",
        pictures(10),
        codec="ffv1",
        pixels="bgr0",
        sound="aac",
        pts=pts,
        time_base=Fraction(1, 1000),
    )
    done: list[int] = []
    assert translate(source, tmp_path / "b.mkv", batch=batch, advance=done.append) == []
    before, after = read_clip(source), read_clip(tmp_path / "b.mkv")
    assert sum(done) == 10 and np.array_equal(before[0], after[0])
    assert before[1] == after[1] == [Fraction(t, 1000) for t in pts]
    assert before[2] == after[2] and len(after[2]) > 40


def test_every_frame_is_translated_alone(tmp_path: Path) -> None:
    shown = pictures(6)
    source = write_clip(tmp_path / "a.mkv", shown, codec="ffv1", pixels="bgr0")
    translate(source, tmp_path / "b.mkv", translate=lambda images: [-x for x in images])
    for found, frame in zip(read_clip(tmp_path / "b.mkv")[0], shown, strict=True):
        assert np.array_equal(found, 255 - frame)


def test_a_grey_network(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", pictures(2), codec="ffv1", pixels="gray")
    translate(source, tmp_path / "b.mkv", channels=1)
    assert np.array_equal(read_clip(source)[0], read_clip(tmp_path / "b.mkv")[0])


def test_a_batch_of_frames_is_all_that_is_read_ahead(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", pictures(60), codec="ffv1", pixels="bgr0")
    taken = 0

    def count(images: list[Tensor]) -> list[Tensor]:
        nonlocal taken
        taken += len(images)
        assert len(images) <= 4 and taken <= read + 4
        return images

    read = 0
    with VideoReader(source) as reader:
        events = reader.events

        def counting() -> Any:
            nonlocal read
            for event in events():
                read += 1
                assert read <= taken + 4
                yield event

        reader.events = counting  # type: ignore[method-assign]
        translate_video(
            reader,
            tmp_path / "b.mkv",
            count,
            LOSSLESS,
            channels=3,
            batch=4,
            is_stopped=lambda: False,
            advance=lambda n: None,
        )
    assert taken == read == 60


def test_what_fails_leaves_no_file(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", pictures(10), codec="ffv1", pixels="bgr0")

    def two_channels(images: list[Tensor]) -> list[Tensor]:
        return [x[:2] for x in images]

    def no_memory(images: list[Tensor]) -> list[str]:
        return ["needs more memory than there is"] * len(images)

    for translator, reason in ((two_channels, "with 2 channels"), (no_memory, "needs more memory")):
        with pytest.raises(ImageFault, match=reason):
            translate(source, tmp_path / "b.mkv", translate=translator)

    def broken(images: list[Tensor]) -> list[Tensor]:
        raise RuntimeError

    with pytest.raises(ImageFault, match="the network takes 4 channels"):
        translate(source, tmp_path / "b.mkv", channels=4)
    stops = iter([False, False, True])
    with pytest.raises(Stopped):
        translate(source, tmp_path / "b.mkv", is_stopped=lambda: next(stops))
    with pytest.raises(RuntimeError):
        translate(source, tmp_path / "b.mkv", translate=broken)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_sound_that_the_file_cannot_hold_is_told(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", pictures(3), sound="aac")
    [note] = translate(source, tmp_path / "b.webm", Encoding())
    assert "has sound (aac) that a .webm file cannot hold" in note
    assert read_clip(tmp_path / "b.webm")[2] == []
    assert translate(source, tmp_path / "b.mp4", Encoding()) == []
    assert read_clip(tmp_path / "b.mp4")[2] == read_clip(source)[2]


def test_rate_and_size_of_an_odd_video(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", pictures(9, (31, 45)), pixels="yuv444p")
    [note] = translate(source, tmp_path / "b.mp4", Encoding())
    assert "is 45x31: with an odd side" in note
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert (reader.height, reader.width, reader.rate, reader.count) == (31, 45, NTSC, 9)
