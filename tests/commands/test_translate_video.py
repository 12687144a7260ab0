"""gantrain translate with videos: one to a file, several beside images, stopped and killed."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as package
from gantrain.networks.resnet import ResnetGenerator
from tests.helpers.clips import pictures, read_clip, write_clip
from tests.helpers.command_line import finish, gantrain, start, wait_for
from tests.helpers.generators import write

pytest.importorskip("av", reason="videos need PyAV: pip install 'gantrain[video]'")
IDENTITY = Path(__file__).parents[1] / "helpers" / "identity"
LOSSLESS = {"codec": "ffv1", "pixels": "bgr0"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = ResnetGenerator(3, 3, ngf=4, blocks=1)
    for weight in network.parameters():
        weight.data *= 5  # new, it makes pictures of one grey
    home = tmp_path_factory.mktemp("cyclegan") / "run"
    return write(home, "gantrain.gans.cyclegan.CycleGAN", {"ab": network})


def levels(run: Path, frames: list[np.ndarray]) -> list[np.ndarray]:
    """What the network makes of frames, one by one."""
    g = package.load(run)
    results = []
    for frame in frames:
        x = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        y = g.translate(x, "ab")[0].permute(1, 2, 0)
        results.append(((y + 1) * 127.5).round().clamp(0, 255).byte().numpy())
    return results


def test_a_video_becomes_a_file(run: Path, tmp_path: Path) -> None:
    shown = pictures(11)
    write_clip(tmp_path / "clip.mkv", shown, sound="aac", **LOSSLESS)
    command = ["translate", f"run={run}", "input=clip.mkv", "output=new/b.mkv"]
    command += ["video.codec=ffv1", "batch=4"]
    said = gantrain(tmp_path, *command)
    assert "1 video; " in said and "1 video in new/b.mkv" in said and "Warning" not in said
    frames, moments, sound = read_clip(tmp_path / "new/b.mkv")
    for found, expected in zip(frames, levels(run, shown), strict=True):
        assert np.abs(found.astype(int) - expected).max() <= 1 and expected.std() > 10
    assert (moments, sound) == read_clip(tmp_path / "clip.mkv")[1:]
    record = json.loads((tmp_path / "new/b.mkv.json").read_text())
    assert record["direction"] == "ab" and record["input"]["name"] == "b.mkv"
    assert record["input"]["encoding"] == "codec=ffv1 crf=None chroma=auto"

    changed = (tmp_path / "new/b.mkv").stat().st_mtime_ns
    assert "1 video, 1 of them done" in gantrain(tmp_path, *command)
    assert (tmp_path / "new/b.mkv").stat().st_mtime_ns == changed
    for other in (["precision=bf16"], ["video.codec=h264"]):
        said = gantrain(tmp_path, *command, *other, code=2)
        assert "output=new/b.mkv already exists and is not the result of this command" in said
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["b.mkv", "b.mkv.json"]


def test_h264_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    monkeypatch.syspath_prepend(str(IDENTITY))
    from identity_net import Identity  # pyright: ignore[reportMissingImports]

    run = write(tmp_path / "run", "x.Identity", {"ab": Identity()})
    write_clip(tmp_path / "clip.avi", pictures(5), sound="mp3")
    command = ["translate", f"run={run}", "input=clip.avi", "output=clip_b.mp4"]
    plugin = {"GANTRAIN_PLUGINS": "identity_net", "PYTHONPATH": str(IDENTITY)}
    gantrain(tmp_path, *command, environment=plugin)

    with av.open(str(tmp_path / "clip_b.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    frames, _, sound = read_clip(tmp_path / "clip_b.mp4")
    assert sound == read_clip(tmp_path / "clip.avi")[2]
    for found, frame in zip(frames, read_clip(tmp_path / "clip.avi")[0], strict=True):
        assert np.abs(found.astype(int) - frame).mean() < 3  # halved colours, and losses


def test_videos_beside_images(run: Path, tmp_path: Path) -> None:
    home = tmp_path / "in"
    write_clip(home / "a.mp4", pictures(3))
    write_clip(home / "a.avi", pictures(3))
    write_clip(home / "deep/b.mkv", pictures(3))
    cut = write_clip(home / "cut.mp4", pictures(3))
    cut.write_bytes(cut.read_bytes()[:1000])
    Image.fromarray(pictures(1)[0]).save(home / "a.png")
    command = ["translate", f"run={run}", "input=in", "output=out"]
    said = gantrain(tmp_path, *command, code=1)
    assert "1 image and 4 videos; " in said and "1 image and 3 videos in out" in said
    assert "in/cut.mp4 is no video that can be read" in said and "Traceback" not in said
    names = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    record = {"index.html", "translate.json", "inputs.jsonl"}
    assert names == record | {"a.png", "a.mp4.mp4", "a.avi.mp4", "deep/b.mkv"}
    rows = [json.loads(line) for line in (tmp_path / "out/inputs.jsonl").read_text().splitlines()]
    assert ["encoding" in row for row in rows] == [False, True, True, True]

    cut.unlink()
    assert "1 image and 3 videos, 4 of them done" in gantrain(tmp_path, *command)
    said = gantrain(tmp_path, *command, "video.crf=30")  # the images stay
    assert "1 image and 3 videos, 1 of them done" in said
    said = gantrain(tmp_path, *command[:2], "input=in/*/*.mkv", "output=other", "gallery=0")
    assert "1 video in other" in said and (tmp_path / "other/deep/b.mkv").exists()


def test_a_video_that_is_cut_off_is_one_sentence(run: Path, tmp_path: Path) -> None:
    cut = write_clip(tmp_path / "clip.mp4", pictures(3))
    cut.write_bytes(cut.read_bytes()[:1000])
    said = gantrain(tmp_path, "translate", f"run={run}", "input=clip.mp4", "output=b.mp4", code=1)
    assert "0 videos in b.mp4" in said and said.count("clip.mp4 is no video that can be read") == 1
    assert "Traceback" not in said and not (tmp_path / "b.mp4").exists()


def test_results_are_not_translated_again(run: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "in/a.mp4", pictures(3))
    gantrain(tmp_path, "translate", f"run={run}", "input=in", "output=in/out")
    said = gantrain(tmp_path, "translate", f"run={run}", "input=in", "output=more")
    assert "1 video in more" in said and not (tmp_path / "more/out").exists()


def test_a_folder_of_frames_keeps_names_and_order(run: Path, tmp_path: Path) -> None:
    shown = pictures(12)
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(shown):
        Image.fromarray(frame).save(tmp_path / f"frames/frame_{i:05d}.png")
    gantrain(tmp_path, "translate", f"run={run}", "input=frames", "output=out", "batch=5")
    files = sorted((tmp_path / "out").glob("*.png"))
    assert [path.name for path in files] == [f"frame_{i:05d}.png" for i in range(12)]
    for path, expected in zip(files, levels(run, shown), strict=True):
        assert np.abs(np.asarray(Image.open(path)).astype(int) - expected).max() <= 1
    rows = (tmp_path / "out/inputs.jsonl").read_text().splitlines()
    assert [json.loads(row)["name"] for row in rows] == [path.name for path in files]


@pytest.mark.ci
def test_large_frames_in_bands(run: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mkv", pictures(3, (96, 64)), **LOSSLESS)
    command = ["translate", f"run={run}", "input=clip.mkv", "video.codec=ffv1"]
    gantrain(tmp_path, *command, "output=whole.mkv")
    gantrain(tmp_path, *command, "output=bands.mkv", "tile=32")
    whole, bands = (read_clip(tmp_path / f"{name}.mkv")[0] for name in ("whole", "bands"))
    for x, y in zip(whole, bands, strict=True):
        assert np.abs(x.astype(int) - y).max() <= 1


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.ci)]
)
def test_a_stopped_video_is_not_there(run: Path, tmp_path: Path, how: signal.Signals) -> None:
    write_clip(tmp_path / "clip.mkv", pictures(2000), options={"preset": "ultrafast"})
    command = ["translate", f"run={run}", "input=clip.mkv", "output=b.mkv", "batch=1"]
    process = start(tmp_path, *command)
    wait_for(process, lambda: bool([*tmp_path.glob(".b.mkv.*.tmp")]))
    if how == signal.SIGKILL:
        os.killpg(process.pid, how)
        finish(process, -9)
    else:
        process.send_signal(how)
        assert "Stopped by SIGTERM. To resume, repeat the command." in finish(process, 75)
    assert not (tmp_path / "b.mkv").exists() and not (tmp_path / "b.mkv.json").exists()
    write_clip(tmp_path / "clip.mkv", pictures(3))
    assert "1 video in b.mkv" in gantrain(tmp_path, *command)
    assert not [*tmp_path.glob(".*.tmp")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["input=in", "output=b.mp4"], "output=b.mp4 is a file for one video"),
        (["input=in/p.png", "output=b.mp4"], "output=b.mp4 is a file for one video"),
        (["input=in/a.mkv", "output=b.avi"], "A .avi file cannot hold h264: use a name in .mp4"),
        (["input=in/a.mkv", "output=b.webm", "video.codec=h264"], "or video.codec=vp9"),
        (["input=in", "output=out", "video.crf=60"], "only video.codec=vp9 goes beyond 51"),
        (["input=in", "output=out", "video.codec=ffv1", "video.crf=1"], "ffv1 is lossless"),
        (["input=in", "output=out", "video.codec=av2"], "video.codec=av2 is not a choice"),
        (["input=nowhere.mp4", "output=out"], "input=nowhere.mp4: there is no such image"),
    ],
)
def test_mistakes(run: Path, tmp_path: Path, words: list[str], said: str) -> None:
    write_clip(tmp_path / "in/a.mkv", pictures(2))
    Image.fromarray(pictures(1)[0]).save(tmp_path / "in/p.png")
    output = gantrain(tmp_path, "translate", f"run={run}", *words, code=2)
    assert said in output and "Traceback" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.ci
def test_without_the_package_the_images_are_done(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/sitecustomize.py").write_text(
        "import importlib.util as u\nf = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'av' else f(name, *rest)\n"
    )
    write_clip(tmp_path / "in/a.mp4", pictures(2))
    Image.fromarray(pictures(1)[0]).save(tmp_path / "in/p.png")
    command = ["translate", f"run={run}", "input=in", "output=out"]
    hidden = {"PYTHONPATH": str(tmp_path / "hidden")}
    said = gantrain(tmp_path, *command, environment=hidden, cold=True, code=1)
    assert (
        "a.mp4 is a video: pip install 'gantrain[video]'" in said
        and "1 image and 0 videos in out" in said
    )
