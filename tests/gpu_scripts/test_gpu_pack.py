"""scripts/gpu_pack.py: what is in the pack, how much of it, and that gantrain trains on it."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.command_line import TINY, gantrain
from tests.helpers.picture_sets import picture, write_set

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/gpu_pack.py"


def pack(folder: Path, *words: object, code: int = 0) -> str:
    """What the script, run in `folder`, prints, or complains of."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert not (done.stdout if code else done.stderr)
    return done.stdout + done.stderr


def content(path: Path) -> dict[str, Image.Image]:
    """The pictures of a zip by name."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(set(names)) == len(names)
        return {name: Image.open(io.BytesIO(archive.read(name))) for name in names}


def classes(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(number).save(root / name / f"{number:03d}.png")
    return root


def test_pictures_are_squares_from_the_middle(tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    wide, tall = picture(0, 40, 60), picture(1, 90, 50)
    wide.save(tmp_path / "in/wide.png")
    tall.save(tmp_path / "in/deep/tall.bmp")
    said = pack(tmp_path, "in", "out.zip", "--side", "32")
    assert "2 of 2 images" in said
    assert said.endswith("data=folder data.root=out.zip data.resolution=32\n")
    made = content(tmp_path / "out.zip")
    assert list(made) == ["deep/tall.jpg", "wide.jpg"]
    assert "transparency" not in said and "cannot be used" not in said
    middle = {"wide.jpg": wide.crop((10, 0, 50, 40)), "deep/tall.jpg": tall.crop((0, 20, 50, 70))}
    for name, square in middle.items():
        right = np.asarray(square.resize((32, 32), Image.Resampling.LANCZOS), np.float32)
        found = made[name]
        assert (found.format, found.mode, found.size) == ("JPEG", "RGB", (32, 32))
        assert np.abs(np.asarray(found, np.float32) - right).mean() < 4


def test_grey_transparent_turned_and_unusable_pictures(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    picture(0).convert("L").save(source / "grey.png")
    glass = picture(1).convert("RGBA")
    glass.putalpha(0)
    glass.save(source / "glass.png")
    opaque = picture(1).convert("RGBA")
    opaque.save(source / "opaque.png")
    half = Image.new("RGB", (40, 40), "red")
    half.paste("blue", (0, 20, 40, 40))
    exif = Image.Exif()
    exif[274] = 3  # upside down
    half.save(source / "turned.jpg", exif=exif)
    (source / "broken.jpg").write_bytes(b"no picture")
    Image.fromarray(np.full((40, 40), 40000, np.uint16)).save(source / "deep.png")
    (source / "notes.txt").touch()
    said = pack(tmp_path, "in", "out.zip", "--side", "16")
    assert "2 cannot be used:\n  in/broken.jpg is unreadable" in said
    assert "in/deep.png has more than 8 bits" in said
    assert "1 had transparency, which is white now" in said
    assert "4 of 6 images" in said
    made = content(tmp_path / "out.zip")
    assert list(made) == ["glass.jpg", "grey.jpg", "opaque.jpg", "turned.jpg"]
    assert made["grey.jpg"].mode == "L"
    assert (np.asarray(made["glass.jpg"]) > 250).all()
    assert not (np.asarray(made["opaque.jpg"]) > 250).all()
    red, _, blue = np.asarray(made["turned.jpg"], int)[-1, 8]  # the stored top is the bottom
    assert red > 200 and blue < 60


def test_the_same_pictures_make_the_same_bytes(tmp_path: Path) -> None:
    source = classes(tmp_path / "in", {"b": 3, "a": 2})
    for name in ("first.zip", "second.zip"):
        pack(tmp_path, "in", name, "--side", "16")
        for path in source.rglob("*.png"):
            os.utime(path, (1, 1))
    first = (tmp_path / "first.zip").read_bytes()
    assert first == (tmp_path / "second.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "first.zip") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())
    picture(9).save(source / "a/new.png")
    pack(tmp_path, "in", "second.zip", "--side", "16")
    assert "a/new.jpg" in content(tmp_path / "second.zip")
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]


def test_more_than_fits_is_thinned_out_evenly(tmp_path: Path) -> None:
    classes(tmp_path / "in", {"many": 120, "some": 40, "few": 3})
    whole = pack(tmp_path, "in", "whole.zip", "--side", "16")
    assert "163 of 163 images" in whole and "evenly" not in whole
    size = (tmp_path / "whole.zip").stat().st_size
    # all of it fits exactly, and not into a byte less
    pack(tmp_path, "in", "exact.zip", "--side", "16", "--max-mb", size / 1e6)
    assert len(content(tmp_path / "exact.zip")) == 163
    pack(tmp_path, "in", "less.zip", "--side", "16", "--max-mb", (size - 1) / 1e6)
    assert 155 <= len(content(tmp_path / "less.zip")) < 163
    said = pack(tmp_path, "in", "third.zip", "--side", "16", "--max-mb", size / 3e6)
    taken = list(content(tmp_path / "third.zip"))
    assert f"{len(taken)} of 163 images" in said and "evenly spaced" in said
    assert 0.9 * size / 3 < (tmp_path / "third.zip").stat().st_size <= size / 3
    assert sum(name.startswith("few/") for name in taken) == 2
    numbers = [int(name[5:8]) for name in taken if name.startswith("many/")]
    assert f"many: {len(numbers)} of 120" in said
    assert numbers[0] == 0 and {*np.diff(numbers)} <= {3, 4}


def test_names_that_the_new_ending_would_make_alike(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("x.png", "x.jpg", "x.png.jpg")):
        picture(number).save(tmp_path / "in" / name)
    pack(tmp_path, "in", "out.zip", "--side", "16")
    assert list(content(tmp_path / "out.zip")) == ["x.jpg.jpg", "x.png.jpg", "x.png.jpg.jpg"]


def test_two_folders_are_two_domains(tmp_path: Path) -> None:
    classes(tmp_path / "apples", {"train": 3, "test": 2})
    classes(tmp_path / "oranges", {"here": 2, "there": 2})
    said = pack(tmp_path, "apples", "oranges", "out.zip", "--side", "16")
    assert "trainA: 3 of 3" in said and "testA: 2 of 2" in said and "trainB: 4 of 4" in said
    made = list(content(tmp_path / "out.zip"))
    assert made[:2] == ["testA/000.jpg", "testA/001.jpg"]
    assert made[-4:] == [f"trainB/{name}/00{n}.jpg" for name in ("here", "there") for n in (0, 1)]


def test_labels_in_a_file_are_not_dropped_in_silence(tmp_path: Path) -> None:
    (classes(tmp_path / "in", {"a": 2}) / "dataset.json").write_text("{}")
    assert "dataset.json is not packed" in pack(tmp_path, "in", "out.zip")


def test_what_cannot_be_packed_is_one_sentence(tmp_path: Path) -> None:
    classes(tmp_path / "in", {"a": 3})
    classes(tmp_path / "lone", {"trainA": 3})
    classes(tmp_path / "one", {"trainA": 3, "trainB": 1})
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/x.jpg").touch()
    (tmp_path / "out.zip").write_text("as before")
    for words, complaint in (
        (["nowhere", "out.zip"], "nowhere is not a folder"),
        (["in/a/000.png", "out.zip"], "000.png is not a folder"),
        (["in", "nowhere", "out.zip"], "nowhere is not a folder"),
        (["empty", "out.zip"], "empty has no images"),
        (["in", "empty", "out.zip"], "empty has no images"),
        (["broken", "out.zip"], "None of 1 images can be used"),
        (["lone", "out.zip"], "has trainA but not trainB"),
        (["one", "out.zip"], "trainB: 1 of the images that fit can be used"),
        (["in", "out.zip", "--side", "0"], "give at least 8 pixels"),
        (["in", "out.zip", "--max-mb", "nan"], "between 0 and 4000 MB"),
        (["in", "out.zip", "--max-mb", "0.0001"], "Two images of each folder take"),
        (["in", "pack"], "pack is not a name for a zip"),
        (["in", "in/a/000.png/out.zip"], "out.zip cannot be written"),
    ):
        said = pack(tmp_path, *words, code=2)
        assert complaint in said and said.count("\n") == 1, said
    assert (tmp_path / "out.zip").read_text() == "as before"


@pytest.mark.multi
def test_gantrain_generates_from_a_pack(tmp_path: Path) -> None:
    classes(tmp_path / "in", {"a": 3, "b": 3})
    pack(tmp_path, "in", "out.zip", "--side", "16")
    narrow = ["model.z_dim=8", "model.w_dim=8", "model.channel_base=128", "model.channel_max=8"]
    said = gantrain(
        tmp_path, "model=stylegan", "data=folder", "data.root=out.zip", "data.resolution=16",
        "data.labels=true", "train.batch=2", "train.kimg=0.004", "train.epochs=null",
        "tracking.to=[]", *narrow,
    )  # fmt: skip
    assert "6 training and no test images, with labels of 2 entries" in said


@pytest.mark.multi
def test_gantrain_translates_with_a_pack(tmp_path: Path) -> None:
    write_set(tmp_path / "in")
    pack(tmp_path, "in", "out.zip", "--side", "16")
    small = [word for word in TINY if not word.startswith("data")]
    said = gantrain(
        tmp_path, "model=cyclegan", "data=folder", "data.root=out.zip", "data.resolution=16",
        "train.kimg=0.002", *small,
    )  # fmt: skip
    assert "5 training and 3 test images in a, 7 training and 3 test images in b" in said
