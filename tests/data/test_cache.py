import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from gantrain.data import cache as caches
from gantrain.data import preflight
from gantrain.errors import ConfigError
from tests.helpers.picture_sets import folder, picture, prepared, write_set

NAMES = ["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]


@pytest.fixture
def root(tmp_path):
    root = write_set(tmp_path / "set", train=3)
    picture(99, 70, 50).save(root / "trainA" / "other size.png")
    return root


def at(tmp_path, mode, **settings):
    return {"cache": mode, "cache_dir": str(tmp_path / "cache"), **settings}


@pytest.mark.parametrize("name", NAMES)
def test_cached_items_equal_decoded_ones_bit_for_bit(root, tmp_path, name):
    settings = {"preprocess": name, "resolution": [32, 28]}
    plain = folder(root, **settings)
    prepared(plain)
    for mode in ("memory", "disk", "disk"):  # the second reads what the first wrote
        data = folder(root, **at(tmp_path, mode, **settings))
        prepared(data)
        for position in range(16):
            item, wanted = data.item(position), plain.item(position)
            assert all(np.array_equal(item[domain], wanted[domain]) for domain in "ab")
            assert item["a"].dtype == np.uint8


def test_the_second_start_does_not_decode(root, tmp_path, monkeypatch):
    prepared(folder(root, **at(tmp_path, "disk")))
    monkeypatch.setattr(preflight, "decode", None)  # a call would fail
    monkeypatch.setattr(preflight, "image_size", None)
    for mode in ("disk", "auto"):
        assert any("earlier start" in line for line in prepared(folder(root, **at(tmp_path, mode))))


def test_a_cache_is_used_from_another_working_folder(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root.parent)
    first = folder(Path(root.name), **at(tmp_path, "disk"))
    prepared(first)
    wanted = first.test_item("a", 1)
    monkeypatch.chdir("/")
    data = folder(root, **at(tmp_path, "disk"))
    assert any("earlier start" in line for line in prepared(data))
    assert (data.test_item("a", 1) == wanted).all() and data.test_name("a", 1) == "p01"
    assert data.describe()["fingerprint"] == first.describe()["fingerprint"]


def changed(root, tmp_path):
    """The number of caches after one more start."""
    prepared(folder(root, **at(tmp_path, "disk")))
    return len(list(tmp_path.glob("cache/*.bin")))


def test_a_changed_file_or_setting_makes_a_new_cache(root, tmp_path):
    assert changed(root, tmp_path) == 1
    os.utime(root / "testA" / "p00.png", (1, 1))
    assert changed(root, tmp_path) == 2
    (root / "trainB" / "p00.png").unlink()
    assert changed(root, tmp_path) == 3
    for setting in ({"load_size": 40}, {"channels_a": 1}, {"resolution": 28}):
        prepared(folder(root, **at(tmp_path, "disk", **setting)))
    assert len(list(tmp_path.glob("cache/*.bin"))) == 6
    prepared(folder(root, **at(tmp_path, "disk", flip=False, seed=9)))  # neither touches the bytes
    assert len(list(tmp_path.glob("cache/*.bin"))) == 6


@pytest.mark.parametrize("ending", ["bin", "json"])
def test_a_torn_cache_is_made_anew(root, tmp_path, ending):
    prepared(folder(root, **at(tmp_path, "disk")))
    (file,) = tmp_path.glob(f"cache/*.{ending}")
    file.write_bytes(file.read_bytes()[:-9])
    assert not any("earlier" in line for line in prepared(folder(root, **at(tmp_path, "disk"))))
    assert any("earlier" in line for line in prepared(folder(root, **at(tmp_path, "disk"))))
    assert not list(tmp_path.glob("cache/*.partial"))


def test_a_crash_leaves_no_cache(root, tmp_path, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(caches.DiskWriter, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        prepared(folder(root, **at(tmp_path, "disk")))
    assert not list(tmp_path.glob("cache/*"))


def test_modes_and_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "available_bytes", lambda: 100e9)
    monkeypatch.setattr(caches, "_free_disk", lambda folder: 100e9)

    def mode(wanted, gigabytes):
        return caches.choose_mode(wanted, int(gigabytes * 1e9), 4.0, tmp_path)

    assert [mode("auto", size) for size in (4, 5, 32, 33)] == ["memory", "disk", "disk", "none"]
    assert (
        mode("none", 1) == "none" and mode("memory", 4) == "memory" and mode("disk", 32) == "disk"
    )
    for wanted, size in (("memory", 5), ("disk", 33)):
        with pytest.raises(ConfigError, match=r"data\.cache_gb"):
            mode(wanted, size)
    monkeypatch.setattr(caches, "available_bytes", lambda: 6e9)
    monkeypatch.setattr(caches, "_free_disk", lambda folder: 8e9)
    assert [mode("auto", size) for size in (3, 3.5, 4.5)] == ["memory", "disk", "none"]


def test_an_unwritable_folder_is_a_sentence(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"data\.cache"):
        prepared(folder(root, cache="disk", cache_dir=str(tmp_path / "file" / "cache")))


def test_the_folder_comes_from_the_environment(root, tmp_path, monkeypatch):
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "elsewhere"))
    prepared(folder(root, cache="disk"))
    assert list(tmp_path.glob("elsewhere/*.bin"))


def test_a_mapped_cache_travels_to_a_spawned_worker_without_its_bytes(root, tmp_path):
    data = folder(root, **at(tmp_path, "disk", resolution=256))
    prepared(data)
    wanted = data.item(3)
    packed = pickle.dumps(data)
    assert len(packed) < 20_000
    assert np.array_equal(pickle.loads(packed).item(3)["b"], wanted["b"])
