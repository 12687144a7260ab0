import numpy as np
import pytest
from PIL import Image

from gantrain.data.loader import batches
from gantrain.errors import ConfigError
from tests.helpers.picture_sets import folder, picture, prepared, write_set


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "set")


def test_items_are_pure_in_seed_and_position(root):
    one, same, other = folder(root), folder(root), folder(root, seed=8)
    for data in (one, same, other):
        prepared(data)
    for position in (123456789, 5, 0):
        for domain in "ab":
            assert (one.item(position)[domain] == same.item(position)[domain]).all()
    assert any((one.item(p)["a"] != other.item(p)["a"]).any() for p in range(5))


def test_every_picture_comes_once_a_pass(root):
    data = folder(root, preprocess="none", flip=False)
    prepared(data)
    assert data.images_per_epoch == 7 and data.resolution == (32, 32)
    assert len({data.item(position)["b"].tobytes() for position in range(7)}) == 7


def test_domains_are_augmented_independently(root):
    for name in ("trainA", "trainB"):
        for path in (root / name).iterdir():
            picture(0, 64, 64).save(path)
    data = folder(root, load_size=64)
    prepared(data)
    same = [(data.item(p)["a"] == data.item(p)["b"]).all() for p in range(50)]
    assert sum(same) < 5


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_workers_change_nothing(root, tmp_path, cache):
    data = folder(root, cache=cache, cache_dir=str(tmp_path / "cache"))
    prepared(data)
    alone, shared = (batches(data, start=3, batch=2, workers=workers) for workers in (0, 2))
    for _ in range(12):
        wanted, item = next(alone), next(shared)
        assert all(wanted[domain].equal(item[domain]) for domain in "ab")
        assert item["a"].shape == (2, 3, 32, 32)
    shared.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_test_images_are_fixed_and_named(root):
    (root / "testA" / "more").mkdir()
    picture(9).save(root / "testA" / "more" / "x.png")
    data = folder(root)
    prepared(data)
    assert [data.test_name("a", index) for index in range(4)] == ["more/x", "p00", "p01", "p02"]
    wanted = np.asarray(picture(9).resize((32, 32), 3)).transpose(2, 0, 1)
    assert (data.test_item("a", 0) == wanted).all()
    assert not data.has_pairs


def test_without_test_folders_the_training_pictures_serve(tmp_path):
    root = write_set(tmp_path / "set", test=0)
    (root / "testA").rmdir()
    (root / "testB").rmdir()
    data = folder(root, max_images=3)
    assert any("no test folder" in line for line in prepared(data))
    assert data.test_count("a") == data.test_count("b") == 3
    assert data.describe()["test_is_train"] == {"a": True, "b": True}
    assert data.test_item("b", 2).shape == (3, 32, 32)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_training_images_that_serve_as_test_images_have_the_resize_of_those(tmp_path, cache):
    """Straight to the resolution: not to the larger load_size, and not what the cache holds."""
    write_set(tmp_path, test=0)
    for name in ("testA", "testB"):
        (tmp_path / name).rmdir()
    data = folder(tmp_path, load_size=48, cache=cache)
    prepared(data)
    for stream, directory in (("a", "trainA"), ("b", "trainB")):
        with Image.open(tmp_path / directory / "p01.png") as image:
            expected = image.resize((32, 32), Image.Resampling.BICUBIC)
        for found in (data.test_item(stream, 1), data.train_item(stream, 1)):
            assert np.array_equal(found.transpose(1, 2, 0), np.asarray(expected))


def test_max_images_takes_the_first_of_the_sorted_list(root):
    data = folder(root, max_images=2, preprocess="none", flip=False)
    prepared(data)
    wanted = {picture(n).tobytes() for n in (0, 1)}
    seen = {data.item(p)["a"].transpose(1, 2, 0).tobytes() for p in range(6)}
    assert seen == wanted and data.images_per_epoch == 2


def test_pairs_are_found_by_name_whatever_the_ending(root):
    picture(50).save(root / "testA" / "p1.bmp")
    picture(51).save(root / "testB" / "p1.webp")
    data = folder(root, test_pairs=True)
    prepared(data)
    names = [[data.test_name(d, index) for index in range(4)] for d in "ab"]
    assert names[0] == names[1] and data.has_pairs


def test_a_skipped_test_picture_takes_its_partner_along(root):
    (root / "testA" / "p01.png").write_bytes(b"")
    data = folder(root, test_pairs=True, on_bad_file="skip")
    prepared(data)
    names = [[data.test_name(d, index) for index in range(data.test_count(d))] for d in "ab"]
    assert names == [["p00", "p02"], ["p00", "p02"]]


def test_the_description_follows_the_files_but_not_their_place_or_time(root, tmp_path):
    def fingerprint(where, **settings):
        data = folder(where, **settings)
        prepared(data)
        return data.describe()["fingerprint"]

    first = fingerprint(root)
    moved = root.rename(tmp_path / "moved")
    assert fingerprint(moved) == first
    assert fingerprint(moved, max_images=4) != first


@pytest.mark.parametrize("value", [0, [32], [32, 0], [1, 2, 3]])
def test_sizes_are_checked(root, value):
    with pytest.raises(ConfigError, match=r"data\.resolution=.*\[height,width\]"):
        folder(root, resolution=value)


def test_pictures_kept_aside_are_not_trained_on(root):
    where = {"root_a": str(root / "trainA"), "root_b": str(root / "trainB")}
    everything = folder(None, **where, preprocess="none", flip=False)
    data = folder(None, **where, preprocess="none", flip=False, held_out=2)
    for one in (everything, data):
        prepared(one)
    assert everything.held_count("a") == 0 and data.held_count("a") == data.held_count("b") == 2
    for domain in "ab":
        total = everything.train_count(domain)
        assert data.train_count(domain) == total - 2 and data.test_count(domain) == 2
        held = [data.test_item(domain, i).tobytes() for i in range(2)]
        trained = [data.train_item(domain, i).tobytes() for i in range(total - 2)]
        every = [everything.train_item(domain, i).tobytes() for i in range(total)]
        assert held == [every[0], every[total // 2]]
        assert sorted(held + trained) == sorted(every)
        assert {data.item(p)[domain].tobytes() for p in range(40)} == set(trained)
    assert data.describe()["test_is_train"] == {"a": False, "b": False}
