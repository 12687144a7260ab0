"""data=colorize: L and the colours of the same pictures, with one crop and mirroring."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantrain.data.colorize import ColorizeFolder
from gantrain.data.paired import PairedFolder
from gantrain.errors import ConfigError
from gantrain.ops.lab import join_rgb, split_rgb
from tests.helpers import deep_pictures
from tests.helpers.picture_sets import picture, prepared

COLORS = picture(0).convert("RGB")


def write(root: Path, train: int = 4, test: int = 2) -> Path:
    for split, numbers in (("train", range(train)), ("test", range(10, 10 + test))):
        for number in numbers:
            (root / split / "more").mkdir(parents=True, exist_ok=True)
            picture(number).save(root / split / "more" / f"{number}.png")
    return root


def folder(root: Path | None, **settings: Any) -> ColorizeFolder:
    values: dict[str, Any] = {"seed": 7, "resolution": 32, "cache": "none", **settings}
    return ColorizeFolder(root=None if root is None else str(root), **values)


@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "none"])
@pytest.mark.parametrize("cache", ["none", "memory"])
def test_items_are_the_lab_of_the_crops_that_pairs_get(
    tmp_path: Path, preprocess: str, cache: str
) -> None:
    root = write(tmp_path / "x")
    shutil.copytree(root, tmp_path / "y")
    shared: dict[str, Any] = {"preprocess": preprocess, "cache": cache}
    data = folder(root, **shared)
    twice = {"root_a": str(root), "root_b": str(tmp_path / "y")}
    same = PairedFolder(seed=7, resolution=32, **shared, **twice)
    prepared(data)
    prepared(same)
    for position in range(8):
        item, rgb = data.item(position), same.item(position)["a"]
        for found, wanted in zip("ab", split_rgb(rgb), strict=True):
            assert np.array_equal(item[found], wanted)
            assert item[found].dtype == np.float32 and item[found].flags.c_contiguous
        assert np.array_equal(np.rint(join_rgb(item["a"], item["b"]) * 255), rgb)
    assert data.channels == {"a": 1, "b": 2}
    for index in range(2):
        wanted = split_rgb(same.test_item("a", index))
        for domain, values in zip("ab", wanted, strict=True):
            assert np.array_equal(data.test_item(domain, index), values)


def test_where_pictures_are_found(tmp_path: Path) -> None:
    data = folder(write(tmp_path / "x"))
    lines = prepared(data)
    assert lines[-1] == "data: 4 training and 2 test pictures"
    assert "train from" in lines[0] and "test from" in lines[0] and "train_a" not in lines[0]
    assert data.images_per_epoch == 4 and data.has_pairs
    (tmp_path / "x/test").rename(tmp_path / "x/val")
    assert folder(tmp_path / "x").test_count("b") == 2
    direct = folder(tmp_path / "x/train", held_out=1)
    assert direct.images_per_epoch == 3 and direct.held_count("a") == 1
    assert folder(tmp_path / "x", max_images=2).images_per_epoch == 2
    alone = folder(tmp_path / "x/train")
    assert prepared(alone)[-1] == "data: 4 training and no test pictures"
    assert set(alone.describe()["test_is_train"].values()) == {True}
    (tmp_path / "x/train").rename(tmp_path / "x/trainA")
    (tmp_path / "x/val").rename(tmp_path / "x/trainB")
    with pytest.raises(ConfigError, match=r"two domains.* such as data\.root=.*/trainB"):
        folder(tmp_path / "x")
    with pytest.raises(ConfigError, match=r"data\.root is not set"):
        folder(None)
    (tmp_path / "y/test").mkdir(parents=True)
    with pytest.raises(ConfigError, match="but not train/"):
        folder(tmp_path / "y")


def test_it_says_what_its_channels_mean(tmp_path: Path) -> None:
    data = folder(write(tmp_path))
    about = data.describe()
    assert about["space"] == "lab" and about["kind"] == "colorize"
    before = about["fingerprint"]
    prepared(data)
    assert data.describe()["fingerprint"] != before


def test_16_bits_keep_their_precision(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (32, 32, 3), np.uint16)
    for i in range(2):
        deep_pictures.write(tmp_path / f"{i}.png", pixels)
    data = folder(tmp_path, depth=16, flip=False, preprocess="none")
    prepared(data)
    item = data.item(0)
    back = np.rint(join_rgb(item["a"], item["b"]) * 65535)
    assert np.array_equal(back, pixels.transpose(2, 0, 1))
    with pytest.raises(ConfigError, match=r"16 bits per channel: set data\.depth=16"):
        prepared(folder(tmp_path))


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_grey_pictures_are_counted(tmp_path: Path, cache: str) -> None:
    root = write(tmp_path / "x")
    picture(20).convert("L").save(root / "train/grey.png")
    picture(21).convert("L").convert("RGB").save(root / "train/more/as_rgb.png")
    picture(22).convert("LA").save(root / "train/opaque.png")
    picture(23).convert("L").save(root / "test/grey.png")  # does no harm
    for _ in range(2):  # the second time from the index of the disk's cache
        data = folder(root, cache=cache, cache_dir=str(tmp_path / "cache"))
        said = [line for line in prepared(data) if "are grey" in line]
        assert len(said) == 1
        assert said[0].startswith("data: warning: 3 of 7 images of train are grey, such as ")
        assert "as_rgb.png" in said[0] or "grey.png" in said[0]
        assert data.images_per_epoch == 7


def test_without_any_color_there_is_nothing_to_learn(tmp_path: Path) -> None:
    for i in range(3):
        picture(i).convert("L").save(tmp_path / f"{i}.png")
    with pytest.raises(ConfigError, match=r"train holds 3 grey images, .* and none in"):
        prepared(folder(tmp_path))


def test_other_kinds_follow_the_rules_of_folders(tmp_path: Path) -> None:
    root = write(tmp_path / "x")
    COLORS.convert("CMYK").save(root / "train/cmyk.jpg")
    assert any("1 image in CMYK" in line for line in prepared(folder(root)))
    clear = COLORS.convert("RGBA")
    clear.putalpha(100)
    clear.save(root / "train/clear.png")
    with pytest.raises(ConfigError, match=r"clear\.png has transparency"):
        prepared(folder(root))
    assert any("left out 1 of" in line for line in prepared(folder(root, on_bad_file="skip")))


def test_frames(tmp_path: Path) -> None:
    first, *others = (picture(i) for i in range(3))
    first.save(tmp_path / "x.tif", save_all=True, append_images=others)
    data = folder(tmp_path, pages="each")
    prepared(data)
    assert data.images_per_epoch == 3


def test_uncropped_sizes_cannot_be_stacked(tmp_path: Path) -> None:
    write(tmp_path)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "train/large.png")
    data = folder(tmp_path, preprocess="none")
    with pytest.raises(ConfigError, match="2 different sizes in train "):
        prepared(data, batch=2)
    prepared(data)
    assert len(data.image_sizes()) == 7  # each picture once
