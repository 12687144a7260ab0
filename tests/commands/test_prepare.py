"""gantrain prepare: what is in a set, what is odd about it, one file that reads back the same."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from tests.helpers import deep_pictures
from tests.helpers.command_line import TINY, gantrain
from tests.helpers.loopback import serving


def draw(path: Path, number: int, size: tuple[int, int] = (24, 30), channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    deep_pictures.write(path, deep_pictures.random_pixels(number, (*size, channels), np.uint8))


@pytest.fixture
def unpaired(tmp_path: Path) -> Path:
    counts = {"trainA": 5, "trainB": 25, "testA": 2, "testB": 3}
    number = 0
    for split, count in counts.items():
        for i in range(count):
            draw(tmp_path / "set" / split / f"{i:02d}.png", number)
            number += 1
    return tmp_path / "set"


def prepare(folder: Path, *options: str, code: int = 0) -> tuple[str, dict]:
    command = ["prepare", "data=folder", "report=report.json", "data.resolution=16", *options]
    said = gantrain(folder, *command, code=code)
    return said, json.loads((folder / "report.json").read_text())


def test_a_set_of_two_domains(unpaired: Path, tmp_path: Path) -> None:
    shutil.copy(unpaired / "trainA/01.png", unpaired / "trainA/copy.png")
    Image.open(unpaired / "trainB/03.png").save(unpaired / "testB/leak.bmp")  # the same pixels
    said, found = prepare(tmp_path, "data.root=set")
    a = found["splits"]["train_a"]
    assert a["pictures"] == a["usable"] == 6 and a["most_common"] == [24, 30] and a["sizes"] == 1
    assert a["kinds"] == {"RGB, 8 bit": 6}
    assert a["bytes"] == sum(path.stat().st_size for path in (unpaired / "trainA").iterdir())
    assert found["splits"]["test_b"]["formats"] == {"png": 3, "bmp": 1}
    assert [sorted(group) for group in found["duplicates"]] == [
        ["train_a/01.png", "train_a/copy.png"],
        ["test_b/leak.bmp", "train_b/03.png"],
    ]
    told = "1 image both in training and in test, such as train_b/03.png and test_b/leak.bmp"
    assert told in said and "such as train_a/01.png and train_a/copy.png" in said
    assert "The domains are uneven (train_b 25, train_a 6)" in said
    assert "train_a has 6 usable images" in said and len(found["warnings"]) == 5


def test_bad_files_are_listed_and_the_code_says_so(unpaired: Path, tmp_path: Path) -> None:
    (unpaired / "trainA/bad.png").write_bytes(b"no picture")
    deep = deep_pictures.random_pixels(1, (20, 20, 3), np.uint16)
    deep_pictures.write(unpaired / "trainB/deep.png", deep)
    draw(unpaired / "trainB/clear.png", 3, channels=4)
    said, found = prepare(tmp_path, "data.root=set", code=1)
    assert "3 images cannot be used:" in said and "set data.depth=16" in said
    assert [Path(fault["file"]).name for fault in found["faults"]] == [
        "bad.png",
        "clear.png",
        "deep.png",
    ]
    assert found["splits"]["train_b"]["kinds"]["RGB, 16 bit"] == 1
    said, _ = prepare(tmp_path, "data.root=set", "pack=x.zip", code=2)
    assert "so nothing was packed" in said and not (tmp_path / "x.zip").exists()
    skip = ["data.root=set", "pack=x.zip", "data.on_bad_file=skip"]
    said, _ = prepare(tmp_path, *skip, code=1)
    assert "35 images" in said and (tmp_path / "x.zip").exists()


@pytest.mark.parametrize("options", ["", "data.preprocess=crop", "data.load_size=[20,18]"])
def test_a_packed_set_of_two_domains_reads_back_the_same(
    unpaired: Path, tmp_path: Path, options: str
) -> None:
    prepare(tmp_path, "data.root=set", "pack=packed.zip", *options.split())
    settings = {key[5:]: value for key, _, value in (o.partition("=") for o in options.split())}
    if "load_size" in settings:
        settings["load_size"] = json.loads(settings["load_size"])
    sets = []
    for root in (unpaired, tmp_path / "packed.zip"):
        data = UnpairedFolder(seed=3, root=str(root), resolution=16, cache="none", **settings)  # pyright: ignore[reportArgumentType]
        data.prepare(batch=1, multiple=1, log=lambda _: None)
        sets.append(data)
    for position in range(40):
        before, after = (data.item(position) for data in sets)
        assert all((before[key] == after[key]).all() for key in "ab")
    assert (sets[0].test_item("b", 2) == sets[1].test_item("b", 2)).all()
    with zipfile.ZipFile(tmp_path / "packed.zip") as file:
        note = json.loads(file.read("gantrain.json"))
    assert note["filter"] == "bicubic" and note["pictures"]["train_b"] == 25
    assert len(note["content"]) == 35 and note["settings"]["resolution"] == 16


@pytest.mark.parametrize(
    ("depth", "target"), [("8", "x.zip"), ("8", "x"), ("16", "x.zip"), ("float", "x.zip")]
)
def test_a_packed_set_of_single_pictures_keeps_depth_and_labels(
    tmp_path: Path, depth: str, target: str
) -> None:
    dtype = {"8": np.uint8, "16": np.uint16, "float": np.float32}[depth]
    labels = []
    for number in range(9):
        path = tmp_path / f"set/{number % 2}/{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        deep_pictures.write(path, deep_pictures.random_pixels(number, (20, 31, 3), dtype))
        labels.append([f"{number % 2}/{number}.tif", number % 3])
    (tmp_path / "set/dataset.json").write_text(json.dumps({"labels": labels}))
    options = [f"data.depth={depth}", "data.labels=true", "data.filter=box", f"pack={target}"]
    prepare(tmp_path, "data.root=set", *options)
    sets = []
    for root in ("set", target):
        data = ImageFolder(
            seed=1, root=str(tmp_path / root), resolution=16, filter="box", labels=True,
            depth="float" if depth == "float" else int(depth), cache="none",  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
        data.prepare(batch=1, multiple=1, log=lambda _: None)
        sets.append(data)
    for position in range(18):
        before, after = (data.item(position) for data in sets)
        assert before["image"].dtype == after["image"].dtype
        assert (before["image"] == after["image"]).all()
        assert (before["label"] == after["label"]).all()


def test_training_from_a_packed_set(unpaired: Path, tmp_path: Path) -> None:
    prepare(tmp_path, "data.root=set", "pack=packed.zip")
    small = [option for option in TINY if not option.startswith("data")]
    command = ["name=run", "data=folder", "data.root=packed.zip", "data.resolution=16", *small]
    gantrain(tmp_path, *command, "train.kimg=0.002")


def test_a_published_set_is_fetched(tmp_path: Path, unpaired: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zebras.zip", "w") as file:
        for path in sorted(unpaired.rglob("*.png")):
            file.write(path, f"zebras/{path.relative_to(unpaired).as_posix()}")
    with serving() as server:
        server.files["/zebras.zip"] = (tmp_path / "zebras.zip").read_bytes()
        options = [f"data.url={server.url('zebras.zip')}", "data.url_sha256=null"]
        environment = {"GANTRAIN_CACHE": str(tmp_path / "cache"), "no_proxy": "*"}
        command = ["prepare", "data=horse2zebra", *options, "data.url_bytes=null"]
        said = gantrain(tmp_path, *command, environment=environment)
        assert "data: downloading" in said and "train_b" in said
        small = [option for option in TINY if not option.startswith("data")]
        train = ["name=run", "data=horse2zebra", *options, "data.url_bytes=null", *small]
        train += ["data.resolution=16", "train.kimg=0.002"]
        gantrain(tmp_path, *train, environment=environment)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["data.root=nowhere"], "data.root=nowhere does not exist"),
        (["data.root=set", "pack=x.tar"], "pack=x.tar must end in .zip (one file), or be the name"),
        (["data.root=set", "pack=x.zip", "shard_mb=5"], "shard_mb is for tar archives"),
        (["data.root=set", "shard_mb=5"], "shard_mb is for tar archives: give pack=FOLDER"),
        (["data.root=set", "pack=x", "shard_mb=0"], "shard_mb=0"),
        (["data.root=x-1.tar", "data.root=x-2.tar"], "Quote it, such as 'data.root=train-{000..0"),
        (["data.root=set", "data.resolutoin=9"], "resolution"),
        (["data.root=set", "takes=pairs"], "takes"),
        ([], "data.root is not set"),
    ],
)
def test_mistakes(unpaired: Path, tmp_path: Path, options: list[str], told: str) -> None:
    said = gantrain(tmp_path, "prepare", *options, code=2)
    assert told in said and "Traceback" not in said


def test_a_set_that_is_drawn(tmp_path: Path) -> None:
    said = gantrain(tmp_path, "prepare", "data=shapes", "data.train_images=8")
    assert '"fingerprint"' in said


def test_what_is_not_read_and_what_does_not_suit_is_said(tmp_path: Path) -> None:
    for split in ("Train_A", "Train_B", "Val_A"):
        for number in range(2):
            draw(tmp_path / "set" / split / f"{number}.png", number, (6, 7))
    for number in range(3):
        (tmp_path / f"set/Train_A/{number}.mat").touch()
    (tmp_path / "set/Train_B/README.txt").touch()
    said, found = prepare(tmp_path, "data.root=set")
    assert "images of train_a from set/Train_A, train_b from set/Train_B" in said
    first, second, third, *_ = found["warnings"]
    assert "not used: set/Val_A" in first
    assert "Train_A that are not read as images: 3 .mat (such as 0.mat)" in second
    assert "2 of 2 images of train_a are enlarged" in third and "data.resolution than 16" in third
    assert "README" not in said


def test_bands_that_are_alpha_in_some_images_are_refused_as_in_training(unpaired: Path) -> None:
    tifffile.imwrite(
        unpaired / "trainA/x.tif",
        np.zeros((24, 30, 4), np.uint8),
        photometric="minisblack",
        planarconfig="contig",
    )
    options = ["data.channels_a=4", "data.channels_b=4", "pack=x.zip"]
    command = ["prepare", "data=folder", f"data.root={unpaired}", *options]
    said = gantrain(unpaired.parent, *command, code=2)
    assert "is alpha, and that of" in said and "save all images of a domain" in said
    assert not (unpaired.parent / "x.zip").exists()


def test_classes_are_those_of_training(tmp_path: Path) -> None:
    pairs = []
    for number in range(10):
        draw(tmp_path / f"set/0000{number % 2}/{number}.png", number)
        pairs.append([f"0000{number % 2}/{number}.png", [0, 0, 2, 2, 2][number % 5]])
    (tmp_path / "set/dataset.json").write_text(json.dumps({"labels": pairs}))
    _, found = prepare(tmp_path, "data.root=set", "data.labels=true")
    assert found["classes"] == {"0": 4, "1": 0, "2": 6}
    assert "no training image has the class 1, of 3" in found["warnings"][0]


def test_packed_labels_follow_their_renamed_images(tmp_path: Path) -> None:
    root, names = tmp_path / "set", ["a.png", "a.bmp", "b.png", "sub/a.png"]
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = deep_pictures.random_pixels(number, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
    labels = [[name, f"class {number}"] for number, name in enumerate(names)]
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    prepare(tmp_path, "data.root=set", "data.labels=true", "pack=x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        packed = dict(json.loads(file.read("train/dataset.json"))["labels"])
        members = {name[6:] for name in file.namelist() if name.endswith(".png")}
    assert packed == {
        "a.png.png": "class 0",
        "a.bmp.png": "class 1",
        "b.png": "class 2",
        "sub/a.png": "class 3",
    }
    assert members == {*packed}
    read = ImageFolder(seed=0, root=str(tmp_path / "x.zip"), resolution=16, labels=True)
    assert read.class_counts() == {f"class {number}": 1 for number in range(4)}
