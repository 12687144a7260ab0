"""data=colorize as a user runs it: everything that is seen, written or measured is in RGB."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as package
from gantrain.ops.lab import split_rgb
from gantrain.ops.value_range import to_float
from tests.helpers.command_line import gantrain
from tests.helpers.picture_sets import picture

TINY = [
    "model=pix2pix", "model.generator=resnet", "model.blocks=1", "model.ngf=2", "model.ndf=2",
    "data=colorize", "data.root=photos", "data.resolution=32", "train.epochs=null",
    "lr.unit=image",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, runs/colors, and pictures to colour."""
    folder = tmp_path_factory.mktemp("colorize")
    for number in range(14):
        split = "train" if number < 8 else "test"
        (folder / "photos" / split).mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / f"photos/{split}/{number}.png")
    said = gantrain(
        folder, *TINY, "train.kimg=0.008", "name=colors", "tracking.every_kimg=0.004",
        "tracking.health_every_kimg=0.004", "evaluation.every_kimg=0.004",
        "evaluation.metrics=[psnr]", "tracking.grid_images=2",
    )  # fmt: skip
    assert "do nothing" in said  # the grey picture, as a baseline
    assert "gantrain model=pix2pix data=colorize data.root=DIR" in said
    (folder / "in").mkdir()
    picture(20).save(folder / "in/color.png")
    picture(21).convert("L").save(folder / "in/grey.png")
    return folder


def test_grids_show_colors(home: Path) -> None:
    [*_, grid] = sorted((home / "runs/colors/grids").glob("*.png"))
    pixels = np.asarray(Image.open(grid)).astype(int)
    spread = pixels.max(2) - pixels.min(2)
    width = pixels.shape[1] // 3
    real_a, fake_b, real_b = (spread[20:, i * width + 4 : (i + 1) * width - 4] for i in range(3))
    assert real_a.max() <= 1 and fake_b.max() > 2 and real_b.max() > 60


def test_results_have_the_lightness_of_their_inputs(home: Path) -> None:
    said = gantrain(home, "translate", "run=runs/colors", "input=in", "output=out")
    assert said.count("only the lightness was used") == 1
    assert "1 picture in colour, such as" in said and "color.png: only" in said
    for name in ("color", "grey"):
        before = np.asarray(Image.open(home / f"in/{name}.png").convert("RGB"))
        after = np.asarray(Image.open(home / f"out/{name}.png"))
        assert after.shape == before.shape
        inside = (after > 0).all(2) & (after < 255).all(2)  # not clipped
        L = [split_rgb(x.transpose(2, 0, 1))[0][0] for x in (before, after)]
        assert np.abs(L[0] - L[1])[inside].max() < 0.02  # one of 8-bit levels
        assert (after.max(2) != after.min(2)).any()
    assert "index.html" in {file.name for file in (home / "out").iterdir()}
    only = gantrain(home, "translate", "run=runs/colors", "input=in/grey.png", "output=grey")
    assert "only the lightness" not in only


def test_bands_and_deep_results(home: Path) -> None:
    command = ["translate", "run=runs/colors", "input=in/color.png", "test_mode=no_dropout"]
    gantrain(home, *command, "output=whole")
    gantrain(home, *command, "output=bands", "tile=32")
    whole, bands = (np.asarray(Image.open(home / f"{x}/color.png")) for x in ("whole", "bands"))
    assert np.abs(whole.astype(int) - bands).max() <= 2
    gantrain(home, *command, "output=float", "depth=float", "format=npy")
    floats = np.load(home / "float/color.npy")
    assert floats.shape == (40, 48, 3) and np.abs(floats * 255 - whole).max() <= 0.51


def test_metrics_are_of_rgb(home: Path) -> None:
    said = gantrain(home, "evaluate", "run=runs/colors", "extractor=random", "seed=0")
    for name in ("fid6", "kid6", "fid_input6", "l1_6/ab", "psnr_6/ab", "ssim_6/ab"):
        assert name in said
    lines = (home / "runs/colors/evaluations.jsonl").read_text().splitlines()
    found = {row["metric"]: row["value"] for row in map(json.loads, lines)}
    model = package.load(home / "runs/colors", test_mode="as_trained")
    errors = []
    for number in range(8, 14):
        photo = Image.open(home / f"photos/test/{number}.png").resize(
            (32, 32), Image.Resampling.BICUBIC
        )
        rgb = torch.from_numpy(np.asarray(photo).transpose(2, 0, 1).copy())[None]
        result = ((model.translate(to_float(rgb)) + 1) * 127.5).round()
        errors.append((result - rgb).abs().mean().item())
    assert found["l1"] == pytest.approx(np.mean(errors), abs=0.01)


def test_means_over_pictures_need_no_crowd(home: Path) -> None:
    command = ["evaluate", "run=runs/colors", "metrics=[l1,psnr]", "output=few.jsonl"]
    assert "l1_4/ab" in gantrain(home, *command, "num_images=4")


def test_doctor_compares_colors(home: Path) -> None:
    gantrain(home, "doctor", "run=runs/colors", "samples=3")
    pixels = np.asarray(Image.open(home / "runs/colors/doctor.png")).astype(int)
    nearest = pixels[20:, pixels.shape[1] // 2 + 4 :]  # training pictures
    assert (nearest.max(2) - nearest.min(2)).max() > 60


def test_export_says_what_the_network_takes(home: Path) -> None:
    said = gantrain(home, "export", "run=runs/colors", "output=pth")
    assert "L / 50 - 1 to (a, b) / 110 of CIE Lab" in said


@pytest.mark.ci
def test_export_records_what_the_network_takes(home: Path) -> None:
    onnx = pytest.importorskip("onnx")
    gantrain(home, "export", "run=runs/colors", "output=x", "format=onnx", "test_mode=eval")
    properties = {x.key: x.value for x in onnx.load(home / "x/ab.onnx").metadata_props}
    assert properties["color_space"].startswith("L / 50 - 1 to (a, b) / 110")
    assert "[batch, 1, height, width]" in properties["input"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("data.direction=ba", "data.direction is a key of data=paired, not of data=colorize"),
        ("model=cyclegan", "CycleGAN trains on images of two domains"),
        ("model=cut", "or model=pix2pix"),
        ("model=dcgan", "DCGAN trains on single images"),
    ],
)
def test_what_cannot_be_is_refused_by_name(home: Path, words: str, sentence: str) -> None:
    model = [] if words.startswith("model") else ["model=pix2pix"]
    assert sentence in gantrain(home, "data=colorize", "data.root=photos", words, *model, code=2)


def test_prepare_and_pack(home: Path) -> None:
    said = gantrain(home, "prepare", "data=colorize", "data.root=photos", "pack=photos.zip")
    assert "data=colorize data.root=photos.zip" in said
    command = ["data=colorize", "data.root=photos.zip", *TINY[:5], "data.resolution=32"]
    command += ["train.epochs=null", "lr.unit=image", "train.kimg=0.002", "name=packed"]
    assert "8 training and 6 test pictures" in gantrain(home, *command)


@pytest.mark.ci
def test_videos(home: Path) -> None:
    pytest.importorskip("av")
    from tests.helpers.clips import pictures, read_clip, write_clip

    write_clip(home / "clip.mp4", pictures(4))
    gantrain(home, "translate", "run=runs/colors", "input=clip.mp4", "output=colored.mp4")
    assert len(read_clip(home / "colored.mp4")[0]) == 4
