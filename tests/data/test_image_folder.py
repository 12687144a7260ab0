import multiprocessing
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantrain.data import image_folder, preflight
from gantrain.data.image_folder import ImageFolder
from gantrain.data.labels import parse_json
from gantrain.data.loader import batches
from gantrain.errors import ConfigError
from tests.helpers.picture_sets import picture
from tests.helpers.single_sets import (
    check_description,
    check_order,
    pack,
    prepared,
    write_labels,
    write_pictures,
)

CATS, DOGS = [f"cat/{n}.png" for n in range(4)], [f"dog/{n}.png" for n in range(3)]


def images(root: Path, **settings: Any) -> ImageFolder:
    values: dict[str, Any] = {"seed": 7, "resolution": 32, "cache": "none", **settings}
    return ImageFolder(root=str(root), **values)


def ready(root: Path, **settings: Any) -> ImageFolder:
    data = images(root, **settings)
    prepared(data)
    return data


def fitted(number: int, height: int = 40, width: int = 48) -> np.ndarray:
    """picture(number), 48 x 40, cropped and resized to 32 x 32 by Pillow; [3, 32, 32]."""
    cut = (width - height) // 2
    square = picture(number, height, width).crop((cut, 0, width - cut, height))
    return np.asarray(square.resize((32, 32), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


@pytest.fixture
def root(tmp_path):
    return write_pictures(tmp_path / "set", CATS + DOGS)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_order_mirroring_and_labels(root, cache):
    one, same, other = (ready(root, seed=s, labels=True, cache=cache) for s in (7, 7, 8))
    check_order(one, same, other)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_items_are_pillows_crop_and_resize_with_their_labels(root, tmp_path, packed, cache):
    place = pack(root, tmp_path / "set.zip") if packed else root
    data = ready(place, flip=False, labels=True, cache=cache, cache_dir=str(tmp_path / "cache"))
    wanted = {fitted(n).tobytes(): [1, 0] if n < 4 else [0, 1] for n in range(7)}
    seen = {item["image"].tobytes(): item["label"].tolist() for item in map(data.item, range(7))}
    assert seen == wanted
    item = data.item(0)
    assert item["image"].shape == (3, 32, 32) and item["label"].dtype == np.float32
    assert data.label_dim == 2 and data.channels == {"image": 3} and not data.has_pairs


def test_without_labels_there_is_no_label(root):
    data = ready(root)
    assert data.item(0).keys() == {"image"} and data.label_dim == 0
    assert data.describe()["labels"] is None


def test_a_zip_is_its_folder(root, tmp_path):
    """Same order, same names, same fingerprint; also when one folder wraps it all."""
    packed = [pack(root, tmp_path / f"{n}.zip", below) for n, below in enumerate(["", "a/b/"])]
    data = [ready(place, labels=True) for place in (root, *packed)]
    for position in range(20):
        items = [one.item(position) for one in data]
        for item in items[1:]:
            assert all((item[key] == items[0][key]).all() for key in ("image", "label"))
    assert len({one.describe()["fingerprint"] for one in data}) == 1
    assert [data[1].test_name("image", n) for n in range(7)] == [
        name[:-4] for name in [*CATS, *DOGS]
    ]


def test_the_fingerprint_follows_the_used_files(root, tmp_path):
    def fingerprint(**settings):
        return ready(root, **settings).describe()["fingerprint"]

    first = fingerprint()
    assert fingerprint(seed=3, flip=False, cache="memory") == first
    assert fingerprint(max_images=6) != first
    picture(0, 41, 48).save(root / CATS[0])
    assert fingerprint() != first


@pytest.mark.parametrize("packed", [False, True])
def test_train_and_test_pictures(tmp_path, packed):
    root = write_pictures(
        tmp_path / "set", ["train/a/0.png", "train/b/1.png", "test/b/2.png", "val/a/3.png"]
    )
    data = images(pack(root, tmp_path / "set.zip") if packed else root, labels=True, flip=False)
    assert any("warning" in line and "val" in line for line in prepared(data))
    assert data.images_per_epoch == 2 and data.test_count("image") == 1
    assert (data.test_item("image", 0) == fitted(2)).all()
    assert data.test_item("label", 0).tolist() == [0, 1]
    assert data.test_name("image", 0) == "b/2"
    described = check_description(data, tmp_path)
    assert described["train"] == 2 and described["test"] == 1
    assert described["labels"] == {"dim": 2, "kind": "class", "names": ["a", "b"]}
    assert described["resize"] == {"mode": "crop", "filter": "lanczos"}
    assert set(described["folders"]) == {"train", "test"}


def test_without_test_pictures_the_training_pictures_serve(root):
    data = ready(root, labels=True)
    assert data.test_count("image") == 7 and data.describe()["test"] == 0
    for number in range(7):
        assert (data.test_item("image", number) == fitted(number)).all()
        assert data.test_item("label", number).argmax() == (number >= 4)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", [".", "train"])
def test_labels_of_dataset_json(tmp_path, packed, place):
    names = ["train/0.png", "train/x/1.png", "test/2.png"]
    root = write_pictures(tmp_path / "set", names)
    values = {"train/0.png": [0.5, 2], "train/x/1.png": [1, 0], "test/2.png": [3, -1]}
    if place == ".":
        write_labels(root, list(values.items()))
    else:
        write_labels(root / "train", [[n[6:], v] for n, v in values.items() if n[1] == "r"])
        write_labels(root / "test", [["2.png", [3, -1]]])
    data = ready(pack(root, tmp_path / "s.zip") if packed else root, labels=True, flip=False)
    for item in map(data.item, range(2)):
        number = next(n for n in (0, 1) if (item["image"] == fitted(n)).all())
        assert item["label"].tolist() == values[names[number]]
    assert data.test_item("label", 0).tolist() == [3, -1]
    assert data.describe()["labels"] == {"dim": 2, "kind": "float", "names": ["0", "1"]}


def test_labels_that_only_one_split_has(tmp_path):
    root = write_pictures(tmp_path / "set", ["train/a/0.png", "test/a/1.png"])
    write_labels(root / "train", [["a/0.png", 0]])
    with pytest.raises(ConfigError, match=r"set/test has no dataset\.json.*data\.labels=false"):
        images(root, labels=True)


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("reading", [1, 2])
def test_max_images_keeps_the_label_size_and_from_version_2_on_every_class(root, json, reading):
    if json:
        write_labels(root, [[name, [0, 3][n > 3]] for n, name in enumerate(CATS + DOGS)])
    whole, some = (
        ready(root, labels=True, flip=False, max_images=m, reading=reading) for m in (None, 3)
    )
    assert some.label_dim == whole.label_dim == (4 if json else 2)
    assert some.images_per_epoch == 3
    first_dog = 4 if json else len(CATS)
    numbers = [0, 1, first_dog] if reading == 2 else [0, 1, 2]
    wanted = {fitted(n).tobytes(): n for n in numbers}
    for item in map(some.item, range(9)):
        number = wanted[item["image"].tobytes()]
        assert item["label"].argmax() == (whole.label_dim - 1) * (number >= first_dog)
    assert len({some.item(p)["image"].tobytes() for p in range(9)}) == 3


def test_max_images_without_labels_takes_the_first(root):
    data = ready(root, flip=False, max_images=3)
    assert {data.item(p)["image"].tobytes() for p in range(9)} == {
        fitted(n).tobytes() for n in range(3)
    }


def test_the_start_says_what_was_taken_for_what(tmp_path):
    names = [f"Training/{number}/x.png" for number in (10, 9, 1)]
    root = write_pictures(tmp_path / "set", [*names, "Testing/9/y.png", "Validation/9/z.png"])
    (root / "Training/1/notes.txt").touch()
    (root / "Training/1/x.mat").touch()
    lines = prepared(images(root, labels=True))
    place = f"train from {root}/Training, test from {root}/Testing"
    assert lines[0] == f"data: images of {place}"
    assert "not from the folders beside it: Validation" in lines[1]
    assert "Training that are not read as images: 1 .mat (such as 1/x.mat)" in lines[2]
    assert lines[-1] == "data: classes in order: 1 (1), 9 (1), 10 (1)"


def test_labels_and_images_that_are_left_out_are_counted(tmp_path):
    root = write_pictures(tmp_path / "set", ["train/0.png", "test/1.png", "2.png", "3.png"])
    pairs = [["train/0.png", 0], ["test/1.png", 0], ["train/gone.png", 1], ["2.png", 1]]
    write_labels(root, pairs)
    notes = images(root, labels=True, max_images=1).notes()
    assert f"warning: not used: 2 images directly in {root}" in notes
    told = "2 labels of dataset.json without an image that was found: train/gone.png, 2.png"
    assert f"warning: {told}" in notes
    write_labels(root, pairs[:2])
    assert not any("belong to no image" in note for note in images(root, labels=True).notes())


def test_an_earlier_run_keeps_its_files_and_classes(tmp_path):
    root = write_pictures(tmp_path / "set", ["10/a.png", "9/b.png", "9/c.gif"])
    first, second = (images(root, labels=True, reading=version) for version in (1, 2))
    assert (first._names["train"], second._names["train"]) == (
        ["10/a.png", "9/b.png"],
        ["10/a.png", "9/b.png", "9/c.gif"],
    )
    assert first.describe()["labels"]["names"] == ["10", "9"]
    assert second.describe()["labels"]["names"] == ["9", "10"]
    assert (first.describe()["reading"], second.describe()["reading"]) == (1, 2)


def test_labels_on_top_of_splits_with_other_names(tmp_path):
    root = write_pictures(tmp_path / "set", ["Training/0.png", "Training/1.png", "Testing/2.png"])
    pairs = [["Training/0.png", "cat"], ["Training\\1.png", "ant"], ["Testing/2.png", "cat"]]
    write_labels(root, pairs)
    data = images(root, labels=True)
    assert data.class_counts() == {"ant": 1, "cat": 1}
    assert [data.train_item("label", n).tolist() for n in (0, 1)] == [[0, 1], [1, 0]]
    assert data.json_labels()["test"]["2.png"] == "cat"


def test_skipped_pictures_take_their_labels_along(root, tmp_path):
    for name in (CATS[1], *DOGS[:2]):
        (root / name).write_bytes(b"no picture")
    for cache in ("none", "memory", "disk", "disk"):
        data = images(
            root,
            labels=True,
            flip=False,
            on_bad_file="skip",
            cache=cache,
            cache_dir=str(tmp_path / "cache"),
        )
        before = data.label_dim
        assert "3 of 7" in "\n".join(prepared(data))
        seen = {i["image"].tobytes(): i["label"].argmax() for i in map(data.item, range(4))}
        assert seen == {fitted(n).tobytes(): int(n >= 4) for n in (0, 2, 3, 6)}
        assert data.label_dim == before == 2 and data.images_per_epoch == 4
        assert [data.test_name("image", n) for n in range(4)] == [
            "cat/0",
            "cat/2",
            "cat/3",
            "dog/2",
        ]
    for name in CATS + DOGS:
        (root / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=r"No usable image is left in .*set"):
        ready(root, on_bad_file="skip")


def test_a_disk_cache_is_used_from_another_working_folder(root, tmp_path, monkeypatch):
    settings = {"labels": True, "cache": "disk", "cache_dir": str(tmp_path / "cache")}
    monkeypatch.chdir(root.parent)
    first = ready(Path("set"), **settings)
    monkeypatch.chdir("/")
    monkeypatch.setattr(preflight, "decode", None)  # a call would fail
    again = images(root, **settings)
    assert any("earlier start" in line for line in prepared(again))
    for position in range(8):
        assert (again.item(position)["label"] == first.item(position)["label"]).all()
    assert again.test_name("image", 5) == "dog/1"


def test_the_second_start_with_a_zip_does_not_decode(root, tmp_path, monkeypatch):
    settings = {"labels": True, "cache": "disk", "cache_dir": str(tmp_path / "cache")}
    packed = pack(root, tmp_path / "set.ZIP")
    first = ready(packed, **settings)
    with monkeypatch.context() as patched:
        patched.setattr(preflight, "decode", None)
        patched.setattr(preflight, "image_size", None)
        again = images(packed, **settings)
        assert any("earlier start" in line for line in prepared(again))
    assert (again.item(3)["image"] == first.item(3)["image"]).all()
    write_pictures(root, [*CATS, *DOGS, "dog/9.png"])
    pack(root, packed)
    assert not any("earlier start" in line for line in prepared(images(packed, **settings)))


def test_other_settings_make_another_cache(root, tmp_path):
    settings = {"cache": "disk", "cache_dir": str(tmp_path / "cache")}
    plain = ready(root, flip=False, **settings)
    for change in ({"resize": "stretch"}, {"filter": "box"}, {"channels": 1}, {"resolution": 28}):
        data = ready(root, flip=False, **settings, **change)
        assert data.item(0)["image"].tobytes() != plain.item(0)["image"].tobytes()


@pytest.mark.multi
@pytest.mark.parametrize("cache", ["none", "disk"])
def test_workers_read_a_zip_as_one_process_does(root, tmp_path, cache):
    data = ready(
        pack(root, tmp_path / "set.zip"),
        labels=True,
        cache=cache,
        cache_dir=str(tmp_path / "cache"),
    )
    alone, shared = (batches(data, start=3, batch=2, workers=workers) for workers in (0, 2))
    for _ in range(12):
        wanted, found = next(alone), next(shared)
        assert all(wanted[key].equal(found[key]) for key in ("image", "label"))
    shared.close()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.multi
def test_a_spawned_process_reads_a_zip(root, tmp_path):
    data = ready(pack(root, tmp_path / "set.zip"), labels=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = list(pool.map(data.item, range(8)))
    for position, item in enumerate(found):
        assert all((item[key] == data.item(position)[key]).all() for key in item)


def test_pictures_of_all_modes_and_sizes(tmp_path):
    (tmp_path / "set").mkdir()
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees
    picture(0, 52, 80).save(tmp_path / "set" / "turned.jpg", exif=exif, quality=95)
    for mode in ("L", "P", "1", "RGBA", "LA"):
        picture(1, 33, 90).convert(mode).save(tmp_path / "set" / f"{mode}.png")
    for channels in (1, 3, 4):
        data = ready(tmp_path / "set", channels=channels, resolution=[24, 32])
        assert {i["image"].shape for i in map(data.item, range(6))} == {(channels, 24, 32)}
        assert data.channels == {"image": channels}
    turned = picture(0, 52, 80).rotate(-90, expand=True)  # 52 wide, 80 high
    data = ready(tmp_path / "set", resolution=[80, 52])
    where = [data.test_name("image", n) for n in range(6)].index("turned")
    difference = data.test_item("image", where) - np.asarray(turned, float).transpose(2, 0, 1)
    assert np.abs(difference).mean() < 5  # JPEG


def test_resize_none_lists_all_pictures_of_another_size(root):
    for name in (CATS[2], DOGS[0]):
        picture(9, 48, 40).save(root / name)
    with pytest.raises(ConfigError) as caught:
        ready(root, resize="none", resolution=[40, 48])
    heading, *lines = caught.value.problems
    assert "2 of 7" in heading and len(lines) == 2
    assert all("is 40 x 48 pixels, not 48 x 40" in line for line in lines)
    assert CATS[2] in lines[0] and DOGS[0] in lines[1]
    data = ready(root, resize="none", resolution=[40, 48], on_bad_file="skip", flip=False)
    assert data.images_per_epoch == 5
    assert (data.test_item("image", 0) == np.asarray(picture(0)).transpose(2, 0, 1)).all()


def test_bad_members_of_a_zip_are_listed(root, tmp_path):
    (root / CATS[1]).write_bytes(b"no picture")
    packed = pack(root, tmp_path / "set.zip")
    with zipfile.ZipFile(packed) as archive:
        start = archive.getinfo(DOGS[1]).header_offset + 80
    raw = bytearray(packed.read_bytes())
    raw[start : start + 40] = bytes(40)
    packed.write_bytes(bytes(raw))
    with pytest.raises(ConfigError) as caught:
        ready(packed)
    _, *lines = caught.value.problems
    assert [
        f"{packed}!/{name}" in line for name, line in zip([CATS[1], DOGS[1]], lines, strict=True)
    ]
    assert "cannot identify" in lines[0] and "the archive is damaged" in lines[1]


def test_a_picture_that_vanishes_later_is_named(root):
    data = ready(root)
    for name in CATS + DOGS:
        (root / name).unlink()
    with pytest.raises(ConfigError, match=r"\d\.png is unreadable .*usable at the start"):
        data.item(0)


def test_a_broken_link_is_listed(root):
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(ConfigError, match=r"gone\.png is unreadable"):
        ready(root)


def test_faults_of_the_settings(root):
    with pytest.raises(ConfigError, match=r"data\.resolution=\[1, 2, 3\] is not an image size"):
        images(root, resolution=[1, 2, 3])
    with pytest.raises(ConfigError, match=r"data\.resolution=\[30,48\] .* use \[32,48\]"):
        ready(root, resolution=[30, 48])
    (root / "cat" / "loose").mkdir()
    with pytest.raises(ConfigError, match=r"loose holds no images \(jpg jpeg png .*: add some"):
        images(root / "cat" / "loose")


@pytest.mark.parametrize("mode", ["disk", "auto"])
def test_a_cache_folder_that_cannot_be_written(root, tmp_path, mode):
    (tmp_path / "file").touch()
    settings = {"cache": mode, "cache_dir": str(tmp_path / "file" / "cache"), "cache_gb": 1e-9}
    if mode == "auto":  # then there is no cache
        assert ready(root, **settings).item(0)["image"].shape == (3, 32, 32)
    else:
        with pytest.raises(ConfigError, match=r"data\.cache"):
            ready(root, **{**settings, "cache_gb": 1})


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_kept_aside_are_not_trained_on(root, tmp_path, packed):
    place = pack(root, tmp_path / "set.zip") if packed else root
    data = ready(place, held_out=3, labels=True, flip=False)
    assert (data.images_per_epoch, data.held_count(), data.test_count()) == (4, 3, 3)
    seen = {data.item(position)["image"].tobytes() for position in range(4)}
    held = [data.test_item("image", i) for i in range(3)]
    assert len(seen) == 4 and not seen & {x.tobytes() for x in held}
    everything = ready(place, labels=True)
    for number, x in zip((0, 2, 4), held, strict=True):  # evenly spaced
        assert (x == everything.train_item("image", number)).all()
    assert [data.test_item("label", i).argmax() for i in range(3)] == [0, 0, 1]
    assert [data.test_name("image", i) for i in range(3)] == ["cat/0", "cat/2", "dog/0"]
    assert ready(place, held_out=3, max_images=2).images_per_epoch == 2
    assert everything.held_count() == 0 and everything.describe() != data.describe()


def test_a_set_with_test_pictures_keeps_none_aside(tmp_path):
    place = write_pictures(tmp_path / "set", [f"train/{n}.png" for n in range(5)] + ["test/0.png"])
    data = ready(place, held_out=3)
    assert (data.images_per_epoch, data.held_count()) == (5, 1)


def test_keeping_too_many_aside(root):
    with pytest.raises(ConfigError, match=r"data\.held_out=6 of 7 images leaves 1 to train on"):
        images(root, held_out=6)


def test_a_label_file_of_all_splits_is_parsed_once(tmp_path, monkeypatch):
    root = write_pictures(tmp_path / "set", ["train/0.png", "train/1.png", "test/0.png"], 8, 8)
    write_labels(root, [["train/0.png", 0], ["train/1.png", 1], ["test/0.png", 1], ["x.png", 0]])
    parsed = []

    def parse(text, file):
        parsed.append(file)
        return parse_json(text, file)

    monkeypatch.setattr(image_folder, "parse_json", parse)
    data = ready(root, labels=True)
    assert data.class_counts() == {"0": 1, "1": 1} and len(parsed) == 1
    assert any("x.png" in note for note in data.notes())
