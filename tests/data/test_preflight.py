import json

import numpy as np
import pytest
from PIL import Image

from gantrain.data.image_folder import ImageFolder
from gantrain.errors import ConfigError
from tests.helpers.picture_sets import folder, picture, prepared, write_set


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "set")


def spoil(root):
    """Make five pictures unusable, each in its own way; their paths."""
    bad = ["trainA/p00.png", "trainB/p01.png", "trainB/p02.png", "testA/p00.png", "testB/p02.png"]
    (root / bad[0]).write_bytes(b"no picture")
    half = (root / bad[1]).read_bytes()
    (root / bad[1]).write_bytes(half[: len(half) // 2])  # its header is fine
    transparent = picture(0).convert("RGBA")
    transparent.putalpha(7)
    transparent.save(root / bad[2])
    (root / bad[3]).write_bytes(b"")
    picture(0, 31, 48).save(root / bad[4])
    return bad


@pytest.mark.parametrize("cache", ["none", "memory", "disk", "auto"])
def test_all_bad_files_are_listed_at_once(root, tmp_path, cache):
    bad = spoil(root)
    data = folder(root, preprocess="crop", cache=cache, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(ConfigError) as caught:
        prepared(data)
    heading, *lines = caught.value.problems
    assert "5 of 18" in heading and "data.on_bad_file=skip" in heading
    assert len(lines) == 5
    for path, line, word in zip(
        bad, lines, ["unreadable", "unreadable", "transp", "unreadable", "smaller"], strict=True
    ):
        assert str(root / path) in line and word in line
    assert not list(tmp_path.glob("cache/*"))  # and nothing half-made stays


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_skip_leaves_them_out_and_says_which(root, tmp_path, cache):
    bad = spoil(root)
    settings = {"preprocess": "crop", "cache": cache, "cache_dir": str(tmp_path / "cache")}
    for _ in range(2):  # the second start of a disk cache reads its index
        data = folder(root, on_bad_file="skip", **settings)
        log = "\n".join(prepared(data))
        assert "5 of 18" in log and all(path in log for path in bad)
        assert data.images_per_epoch == 5
        assert data.describe()["train"] == {"a": 4, "b": 5}
        assert data.describe()["test"] == {"a": 2, "b": 2}
        assert [data.test_name("b", index) for index in range(2)] == ["p00", "p01"]
        seen = {data.item(position)["b"].shape for position in range(10)}
        assert seen == {(3, 32, 32)}
    with pytest.raises(ConfigError, match="5 of 18"):  # whatever an earlier start has skipped
        prepared(folder(root, **settings))


def test_skipped_pictures_do_not_shift_the_cached_ones(root, tmp_path):
    spoil(root)
    plain, *cached = [
        folder(root, on_bad_file="skip", cache=cache, cache_dir=str(tmp_path / "cache"))
        for cache in ("none", "memory", "disk", "disk")
    ]
    prepared(plain)
    for data in cached:
        prepared(data)
        for position in range(12):
            for domain in "ab":
                same = data.item(position)[domain] == plain.item(position)[domain]
                assert same.all()


def test_too_few_left_after_skipping(root):
    for path in sorted((root / "trainA").iterdir())[1:]:
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"Only 1 usable image.* train_a"):
        prepared(folder(root, on_bad_file="skip"))


@pytest.mark.parametrize("preprocess", ["none", "scale_width"])
def test_unequal_sizes_cannot_make_a_batch(root, preprocess):
    picture(0, 80, 48).save(root / "trainB" / "tall.png")
    prepared(folder(root, preprocess=preprocess), batch=1)
    with pytest.raises(ConfigError, match=r"tall\.png.*train\.batch=2"):
        prepared(folder(root, preprocess=preprocess), batch=2)


def test_channels_by_domain(root):
    data = folder(root, channels_a=1, channels_b=4, cache="memory")
    prepared(data)
    item = data.item(0)
    assert item["a"].shape == (1, 32, 32) and item["b"].shape == (4, 32, 32)
    assert data.test_item("a", 0).shape == (1, 32, 32) and data.channels == {"a": 1, "b": 4}


def test_setting_faults_come_before_any_decoding(root):
    (root / "trainA" / "p00.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"use 36\."):
        prepared(folder(root, resolution=34))


def test_an_unused_load_size_warns(root):
    assert any(
        "not used" in line for line in prepared(folder(root, preprocess="crop", load_size=9))
    )


def test_a_picture_that_vanishes_later_is_named(root):
    data = folder(root, max_images=2)
    prepared(data)
    for path in (root / "trainA").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=r"p0\d\.png is unreadable"):
        data.item(0)


def test_turned_pictures_have_their_upright_size_in_the_cache(root):
    exif = Image.Exif()
    exif[274] = 6
    picture(0, 60, 30).save(root / "trainA" / "p00.png", exif=exif)
    data = folder(root, preprocess="none", cache="memory")
    prepared(data)
    shapes = {data.item(position)["a"].shape for position in range(5)}
    assert shapes == {(3, 32, 60), (3, 40, 48)}


@pytest.mark.parametrize("key", ["offset", "shape", "size"])
def test_an_index_that_does_not_suit_the_images_is_made_again(tmp_path, key):
    """Bytes are compared with bytes, and shapes with what the resize gives."""
    root = tmp_path / "deep"
    root.mkdir()
    for number in range(2):
        values = np.random.RandomState(number).randint(0, 65535, (16, 16))
        Image.fromarray(values.astype(np.uint16)).save(root / f"{number}.png")

    def first_item():
        settings = {"channels": 1, "depth": 16, "cache": "disk", "cache_dir": str(tmp_path / "c")}
        data = ImageFolder(seed=0, root=str(root), resolution=16, flip=False, **settings)
        log = prepared(data)
        return data.item(0)["image"], log

    expected, _ = first_item()
    [index] = tmp_path.glob("c/*.json")
    content = json.loads(index.read_text())
    wrong = {"offset": content["bytes"] - 256, "shape": [2, 2, 1], "size": [0, 0]}[key]
    for job in content["jobs"]:
        job[key] = wrong
    index.write_text(json.dumps(content))
    item, log = first_item()
    assert np.array_equal(item, expected)
    assert any("cached on disk" in line for line in log)
    assert any("an earlier start" in line for line in first_item()[1])
