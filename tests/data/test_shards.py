"""A set in tar archives is the set in a folder: names, order, labels, pixels, fingerprint."""

import json
import multiprocessing
import os
import pickle
import shutil
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gantrain.data import shard_index
from gantrain.data.archive import Member, file_size, list_members
from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from gantrain.data.paired import PairedFolder
from gantrain.data.roots import open_root
from gantrain.data.shards import Shards, names_shards, open_shards
from gantrain.errors import ConfigError
from gantrain.io.remote.blocks import BlockSettings
from gantrain.io.remote.objects import RemoteObject
from gantrain.io.remote.stores import Stamp
from tests.helpers.single_sets import prepared, write_labels, write_pictures
from tests.helpers.tar_files import add_file, pack_folder, write_tar

CATS = [f"{kind}/{i}.png" for kind in ("a b", "a", "b") for i in range(4)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def shards_of(root: Path, count: int = 3, **settings) -> str:
    """Pack a folder; the data.root of its archives."""
    folder = root.with_name(f"{root.name}-shards")
    folder.mkdir()
    pack_folder(root, *[folder / f"x-{i:03d}.tar" for i in range(count)], **settings)
    return f"{folder}/x-{{000..{count - 1:03d}}}.tar"


def images(root: object, **settings) -> ImageFolder:
    data = ImageFolder(seed=3, root=str(root), resolution=16, **settings)
    prepared(data)
    return data


def check_same(a, b, positions: int = 30) -> None:
    """Every item of two sets, and what describes them apart from the place."""
    for position in (*range(positions), 10**9 + 7):
        x, y = a.item(position), b.item(position)
        assert x.keys() == y.keys() and all((x[key] == y[key]).all() for key in x)
    described = [one.describe() for one in (a, b)]
    for one in described:
        del one["folders"]
    assert described[0] == described[1] and described[0]["fingerprint"]


@pytest.mark.parametrize("settings", [{}, {"labels": True}, {"held_out": 3, "max_images": 7}])
def test_a_set_of_classes(tmp_path: Path, settings: dict) -> None:
    root = write_pictures(tmp_path / "set", CATS)
    check_same(images(root, **settings), images(shards_of(root), **settings))


def test_a_folder_of_archives_one_archive_and_a_range_are_the_same(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", ["train/c/1.png", "train/d/2.png", "test/c/3.png"])
    ranged = shards_of(root)
    pack_folder(root, tmp_path / "one.tar")
    (Path(ranged).parent / "x_stats.json").write_text("{}")
    whole = images(root, labels=True)
    for place in (ranged, Path(ranged).parent, tmp_path / "one.tar"):
        check_same(whole, images(place, labels=True))


def test_labels_of_webdataset(tmp_path: Path) -> None:
    names = [f"{i:05d}.png" for i in range(9)]
    numbers = {name: str(i % 3) for i, name in enumerate(names)}
    root = write_pictures(tmp_path / "set", names)
    ranged = shards_of(root, labels=numbers)
    write_labels(root, [[name, int(label)] for name, label in numbers.items()])
    data = images(ranged, labels=True)
    check_same(images(root, labels=True), data)
    assert data.class_counts() == {"0": 3, "1": 3, "2": 3}


def test_labels_in_json_and_keys_that_are_not_read(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", [f"{i}.png" for i in range(4)])
    labels = ["zebra", "horse", "zebra", "cow"]
    files = {}
    for i, label in enumerate(labels):
        files[f"{i}.json"] = json.dumps({"label": label, "caption": "x", "url": i}).encode()
        files[f"{i}.png"] = (root / f"{i}.png").read_bytes()
    write_tar(tmp_path / "a.tar", files)
    data = images(tmp_path / "a.tar", labels=True)
    assert data.class_counts() == {"cow": 1, "horse": 1, "zebra": 2}
    assert any('beside "label": caption (4), url (4)' in note for note in data.notes())
    write_labels(root, [[f"{i}.png", label] for i, label in enumerate(labels)])
    check_same(images(root, labels=True), data)


def test_a_sample_is_named_up_to_the_first_dot(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", ["s.left.png", "s.right.png", "t.png", "d.x/t.png"])
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}
    labels = {"s.cls": b"1\n", "t.cls": b"0", "d.x/t.cls": b" 2 "}
    write_tar(tmp_path / "a.tar", {**labels, **files})
    data = ImageFolder(seed=0, root=str(tmp_path / "a.tar"), labels=True)
    found = dict(zip(data._names["train"], data._values["train"].tolist(), strict=True))
    assert found == {"s.left.png": 1, "s.right.png": 1, "t.png": 0, "d.x/t.png": 2}


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"0.cls": b"1"}, r"2 images of .*a\.tar have neither a \.cls .*a\.tar!/1\.png"),
        ({"0.cls": b"1", "1.cls": b"x", "2.cls": b"0"}, r"1 image of .* has a \.cls that is no"),
        ({"0.cls": b"1", "1.json": b"{", "2.cls": b"0"}, r"or a \.json that cannot be read: .*1"),
        ({f"{i}.cls": b"5000000" for i in range(3)}, "class numbers from 0 on"),
        ({f"{i}.json": b'{"label": true}' for i in range(3)}, "class numbers from 0 on"),
        ({"x.cls": b"1"}, "no dataset.json, and these images are in no sub-folder"),
    ],
)
def test_labels_that_are_missing_or_wrong(tmp_path: Path, labels: dict, told: str) -> None:
    root = write_pictures(tmp_path / "set", ["0.png", "1.png", "2.png"])
    files = {f"{i}.png": (root / f"{i}.png").read_bytes() for i in range(3)}
    write_tar(tmp_path / "a.tar", {**files, **labels})
    with pytest.raises(ConfigError, match=told):
        ImageFolder(seed=0, root=str(tmp_path / "a.tar"), labels=True)
    ImageFolder(seed=0, root=str(tmp_path / "a.tar"))  # not asked for


def test_two_domains(tmp_path: Path) -> None:
    names = [f"{split}/{i}.png" for split in ("trainA", "trainB", "testA") for i in range(4)]
    root = write_pictures(tmp_path / "set", [*names, "testB/0.png"])
    ranged, sets = shards_of(root), []
    domains = {x: Path(shards_of(root / f"train{x}")).parent for x in "AB"}
    apart = {"root_a": str(root / "trainA"), "root_b": str(root / "trainB")}
    for settings in (
        {"root": str(root)},
        {"root": ranged},
        apart,
        {"root_a": str(domains["A"]), "root_b": f"{domains['B']}/x-{{000..002}}.tar"},
    ):
        sets.append(UnpairedFolder(seed=1, resolution=16, load_size=16, **settings))
        prepared(sets[-1])
    check_same(sets[0], sets[1])
    check_same(sets[2], sets[3])


def test_the_same_archives_are_no_two_domains(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", [f"{i}.png" for i in range(9)])
    folder = Path(shards_of(root)).parent
    part = f"{folder}/x-{{001..002}}.tar"
    for a, b in ((folder, folder), (folder, part), (part, f"{folder}/x-001.tar")):
        with pytest.raises(ConfigError, match="mixes the domains"):
            UnpairedFolder(seed=1, root_a=str(a), root_b=str(b))
    UnpairedFolder(seed=1, root_a=part, root_b=f"{folder}/x-000.tar")


def test_pairs(tmp_path: Path) -> None:
    names = [f"{split}/{i}.png" for split in ("trainA", "trainB") for i in range(4)]
    root = write_pictures(tmp_path / "set", names)
    wide = write_pictures(tmp_path / "wide", [f"train/{i}.png" for i in range(4)], 20, 40)
    for place in (root, wide):
        pair = [
            PairedFolder(seed=1, root=one, resolution=16) for one in (str(place), shards_of(place))
        ]
        for data in pair:
            prepared(data)
        check_same(*pair)


def test_members_read_like_files(tmp_path: Path) -> None:
    content = {f"d{n % 3}/{n:03d}.png": os.urandom(700 + n) for n in range(60)}
    for name, data in content.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(data)
    shards = open_shards("data.root", shards_of(tmp_path / "set"))
    assert list_members(shards) == sorted(content)
    assert list_members(shards, "d1/") == [n[3:] for n in sorted(content) if n[:3] == "d1/"]
    for name, data in content.items():
        member = Member(shards, name)
        assert member.read() == data and file_size(member) == len(data)
    assert str(Member(shards, "d0/000.png")).endswith("x-000.tar!/d0/000.png")
    assert str(Member(shards, "d0")).endswith("x-{000..002}.tar!/d0")
    with pytest.raises(OSError, match=r"there is no d0/1\.png"):
        Member(shards, "d0/1.png").read()
    copy = pickle.loads(pickle.dumps(shards))  # as a spawned worker gets it
    assert "index" not in vars(copy) and Member(copy, "d0/003.png").read() == content["d0/003.png"]


def test_the_order_is_that_of_a_folder(tmp_path: Path) -> None:
    names = ["a.png", "a b/1.png", "a/10.png", "ä.png", "a/2.png", "a-b.png", "a/b/c.png", "B.png"]
    path = write_tar(tmp_path / "a.tar", dict.fromkeys(names, b"x"))
    assert list_members(open_shards("data.root", str(path))) == sorted(
        names, key=lambda name: Path(name).parts
    )


def test_hostile_members_are_left_out_and_said(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", ["0.png"])
    content = (root / "0.png").read_bytes()
    outward = ["../up.png", "a/../../up.png", "/etc/root.png", "C:\\x.png", "a\\..\\..\\b.png"]
    with tarfile.open(tmp_path / "a.tar", "w") as target:
        for name in [*outward, ".hidden/a.png", "b/.c.png", "./good/./a.png", "c\\d.png"]:
            add_file(target, name, content)
        for name in ("one.png", "two.png"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            target.addfile(link)
        add_file(target, b"\xff.png".decode(errors="surrogateescape"), content)
    data = ImageFolder(seed=0, root=str(tmp_path / "a.tar"))
    assert data._names["train"] == ["c/d.png", "good/a.png"]
    said = "\n".join(data.notes())
    for told in (
        "members that have a path that leads out of the archive are left out: 5, such as ",
        f"members that are links are left out: 2, such as {tmp_path / 'a.tar'}!/one.png",
        "members that have a name that is not UTF-8 are left out: 1, such as ",
    ):
        assert f"warning: {told}" in said
    assert not (tmp_path / "up.png").exists()


def test_names_that_occur_twice_are_refused(tmp_path: Path) -> None:
    for i in range(2):
        write_tar(tmp_path / f"s/{i}.tar", {"0.png": b"x", f"{i}.jpg": b"y"})
    with tarfile.open(tmp_path / "s/0.tar", "a") as target:
        add_file(target, "0.jpg", b"z")
    told = r"2 names of .* more than once.*0\.jpg in .*0\.tar \(twice\).*0\.png in .* and .*1\.tar"
    with pytest.raises(ConfigError, match=told):
        list_members(open_shards("data.root", str(tmp_path / "s")))


def test_missing_and_damaged_archives_are_all_named(tmp_path: Path) -> None:
    for i in (0, 3):
        write_tar(tmp_path / f"x-{i:02d}.tar", {f"{i}.png": b"x" * 600})
    root = f"{tmp_path}/x-{{00..04}}.tar"
    with pytest.raises(ConfigError, match=r"3 of 5 archives do not.*x-01\.tar.*x-02\.tar.*x-04\."):
        open_root("data.root", root, [])
    for i in (1, 2, 4):
        shutil.copy(tmp_path / "x-00.tar", tmp_path / f"x-{i:02d}.tar")
        os.truncate(tmp_path / f"x-{i:02d}.tar", 700 + i)
    with pytest.raises(ConfigError) as caught:
        list_members(open_shards("data.root", root))
    assert len(caught.value.problems) == 3 and "x-02.tar is incomplete" in str(caught.value)


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "tar.zst", "tar.xz"])
def test_compressed_archives_are_refused_with_the_fix(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").touch()
    for root in (tmp_path / f"a.{suffix}", f"{tmp_path}/a-{{0..3}}.{suffix}"):
        with pytest.raises(ConfigError, match=r"is compressed, .*: unpack it to a \.tar"):
            open_root("data.root", str(root), [])
    with tarfile.open(tmp_path / "b.tar", "w:gz") as target:
        add_file(target, "a.png", b"x")
    with pytest.raises(ConfigError, match=r"b\.tar is compressed \(gzip\).*: unpack it"):
        list_members(open_shards("data.root", str(tmp_path / "b.tar")))


@pytest.mark.parametrize("root", ["x-{003..001}.tar", "x-{0..9}{0..999999}.tar"])
def test_ranges_that_are_none(tmp_path: Path, root: str) -> None:
    with pytest.raises(ConfigError, match="give a range from the first to the last"):
        open_root("data.root", str(tmp_path / root), [])


def test_which_folders_are_archives(tmp_path: Path) -> None:
    write_tar(tmp_path / "s/a.tar", {"0.png": b"x"})
    assert names_shards(str(tmp_path / "s"))
    (tmp_path / "s/0.png").touch()
    assert not names_shards(str(tmp_path / "s")) and not names_shards(str(tmp_path))


def test_the_index_is_made_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_pictures(tmp_path / "set", CATS)
    ranged = shards_of(root, labels=dict.fromkeys(CATS, "0"))
    first = open_shards("data.root", ranged).index
    (file,) = cache.glob("shards/*.index")
    with monkeypatch.context() as patch:
        patch.setattr(shard_index, "read_shard", None)
        again = open_shards("data.root", ranged).index
    for key in ("names", "texts", "notes"):
        assert getattr(first, key) == getattr(again, key)
    for key in ("ends", "shards", "starts", "sizes", "labels"):
        assert (getattr(first, key) == getattr(again, key)).all()
        assert getattr(first, key).dtype == getattr(again, key).dtype
    content = file.read_bytes()
    for damaged in (b"", content[:-1], content[:60] + b"#" + content[61:], content[:9] + content):
        file.write_bytes(damaged)
        assert (open_shards("data.root", ranged).index.sizes == first.sizes).all()
        assert file.read_bytes() == content  # made anew


def _index_of(root: str, log: Path) -> int:
    """Make the index slowly, with a line in `log` for each archive that is read."""
    read = shard_index.read_shard

    def slowly(*args):
        with log.open("a") as file:
            file.write("x\n")
        time.sleep(0.2)
        return read(*args)

    shard_index.read_shard = slowly
    return len(open_shards("data.root", root).index)


@pytest.mark.multi
def test_processes_make_one_index(tmp_path: Path) -> None:
    ranged = shards_of(write_pictures(tmp_path / "set", CATS))
    with multiprocessing.get_context("fork").Pool(3) as pool:
        counts = pool.starmap(_index_of, [(ranged, tmp_path / "log")] * 3, chunksize=1)
    assert counts == [12] * 3
    assert (tmp_path / "log").read_text().count("x") == 3  # archives, each once


def test_a_changed_archive_is_indexed_anew(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", CATS)
    folder = Path(shards_of(root)).parent
    assert len(list_members(open_shards("data.root", str(folder)))) == 12
    write_tar(folder / "x-001.tar", {"new.png": b"x"})
    assert "new.png" in list_members(open_shards("data.root", str(folder)))
    write_tar(folder / "x-003.tar", {"newer.png": b"x"})
    assert "newer.png" in list_members(open_shards("data.root", str(folder)))


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file")
    write_tar(tmp_path / "a.tar", {"0.png": b"x"})
    assert list_members(open_shards("data.root", str(tmp_path / "a.tar"))) == ["0.png"]


def test_an_archive_that_changes_under_a_training_is_not_misread(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", CATS)
    ranged = shards_of(root)
    data = images(ranged, cache="none")
    write_tar(Path(ranged).parent / "x-001.tar", {"0.png": b"x"})
    with pytest.raises(ConfigError, match=r"x-001\.tar has changed since the start"):
        for position in range(12):
            data.item(position)


def test_addresses_of_archives_are_opened_one_by_one(tmp_path: Path) -> None:
    opened, blocks = [], BlockSettings.of(tmp_path)

    def fetch(address: str) -> RemoteObject:
        opened.append(address)
        return RemoteObject(address, Stamp(9, "1"), blocks)  # not read

    shards = open_shards("data.root", "s3://bucket/x-{8..11}.tar", fetch)
    assert opened == [f"s3://bucket/x-{i}.tar" for i in (8, 9, 10, 11)]
    assert isinstance(shards, Shards) and shards.is_remote


def test_threads_read_the_right_bytes(tmp_path: Path) -> None:
    content = {f"{n:03d}.png": bytes([n]) * (100 + n) for n in range(100)}
    shards = open_shards("data.root", str(write_tar(tmp_path / "a.tar", content)))
    wrong = []

    def read(step: int) -> None:
        for n in range(300):
            name = f"{n * step % 100:03d}.png"
            wrong.extend([name] * (Member(shards, name).read() != content[name]))

    threads = [threading.Thread(target=read, args=(step,)) for step in (1, 7, 13, 29)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_pixel_cache_tells_archives_apart(tmp_path: Path) -> None:
    """Same paths, other pixels: the disk cache of the first is not taken for the second."""
    folder = tmp_path / "set"
    found = []
    for number in (0, 5):
        shutil.rmtree(folder, ignore_errors=True)
        write_pictures(tmp_path / f"p{number}", [f"x{i}.png" for i in range(number + 1)])
        content = (tmp_path / f"p{number}/x{number}.png").read_bytes()
        path = write_tar(tmp_path / "a.tar", {"0.png": content, "1.png": content})
        os.utime(path, ns=(number, number))
        data = images(path, cache="disk")
        found.append(data.train_item("image", 0))
    assert not np.array_equal(*found)
