"""Packed shards: what WebDataset's readers expect, and what the same images read back as."""

import tarfile
from pathlib import Path
from typing import Any

import pytest

from gantrain.data import pack_shards as module
from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from gantrain.data.pack import pack
from gantrain.data.pack_shards import pack_shards
from gantrain.data.paired import PairedFolder
from gantrain.errors import ConfigError
from tests.helpers.single_sets import prepared, write_labels, write_pictures


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))


def packed(data: Any, folder: Path, limit: float = 1e9, labels: dict | None = None) -> list[Path]:
    pack_shards(folder, data.sources(print), labels or {}, {"made_by": "a test"}, limit)
    assert (folder / "gantrain.json").is_file()
    return sorted(folder.glob("*.tar"))


def members(*archives: Path) -> dict[str, bytes]:
    found = {}
    for archive in archives:
        with tarfile.open(archive) as file:
            for info in file:
                content = file.extractfile(info)
                assert content is not None and (info.mtime, info.uid, info.uname) == (0, 0, "")
                found[info.name] = content.read()
    return found


def single(root: Path, **settings: Any) -> ImageFolder:
    return ImageFolder(seed=0, root=str(root), resolution=16, cache="none", **settings)


def test_archives_of_a_size(tmp_path: Path) -> None:
    root = write_pictures(
        tmp_path / "set", [f"{s}/{i}.png" for s in ("train", "test") for i in "0123456"]
    )
    archives = packed(single(root), tmp_path / "out", limit=5000)
    names = [path.name for path in archives]
    assert names[0] == "test-000000.tar"
    assert sum(name.startswith("train-") for name in names) > 1
    assert all(path.stat().st_size <= 5000 + 1024 for path in archives)
    found = members(*archives)
    assert len(found) == 14 and "train/3.png" in found and not list(tmp_path.glob(".*"))
    data, again = single(root), single(tmp_path / "out")
    prepared(data)
    prepared(again)
    for position in range(20):
        assert (data.item(position)["image"] == again.item(position)["image"]).all()


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    names = [f"{'long ' * 30}/{'n' * 99}{i}.png" for i in range(3)] + ["ü/ä.png"]
    root = write_pictures(tmp_path / "set", names)
    contents = []
    for target in ("one", "two"):
        contents.append([path.read_bytes() for path in packed(single(root), tmp_path / target)])
    assert contents[0] == contents[1]
    assert {name.removeprefix("train/") for name in members(tmp_path / "one/train-000000.tar")} == {
        *names
    }


def test_labels_are_beside_their_image(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", [f"{i}.png" for i in range(4)])
    for labels, suffix, first in (
        ([2, 0, 1, 2], "cls", b"2"),
        ([[0.5]] * 4, "json", b'{"label": [0.5]}'),
    ):
        write_labels(root, [[f"{i}.png", label] for i, label in enumerate(labels)])
        data = single(root, labels=True)
        archive, *more = packed(data, tmp_path / suffix, 1500, data.json_labels())
        assert members(archive).keys() == {"train/0.png", f"train/0.{suffix}"} and len(more) == 3
        assert members(archive)[f"train/0.{suffix}"] == first
        again = single(tmp_path / suffix, labels=True)
        assert (again._values["train"] == data._values["train"]).all()
        assert again.json_labels() == data.json_labels()


def test_one_label_for_the_images_of_a_sample(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", ["s.left.png", "s.right.png"])
    data = single(root)
    same = {"train": {"s.left.png": 3, "s.right.png": 3}}
    (archive,) = packed(data, tmp_path / "same", 1e9, same)
    assert sorted(members(archive)) == ["train/s.cls", "train/s.left.png", "train/s.right.png"]
    other = {"train": {"s.left.png": 3, "s.right.png": 4}}
    with pytest.raises(ConfigError, match=r"different labels.*train/s\.cls: rename them"):
        packed(data, tmp_path / "other", 1e9, other)
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".other*"))


def test_a_fault_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_pictures(tmp_path / "set", ["0.png", "1.png"])

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_json", fail)
    with pytest.raises(OSError, match="No space"):
        packed(single(root), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"set", "cache"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", ["0.png"])
    for target in ("set", "set/0.png"):
        with pytest.raises(ConfigError, match="already exists: remove it"):
            packed(single(root), tmp_path / target)
    (tmp_path / "empty").mkdir()
    assert len(packed(single(root), tmp_path / "empty")) == 1


@pytest.mark.parametrize("target", ["out", "out.zip"])
def test_two_domains_and_pictures_with_a_pair(tmp_path: Path, target: str) -> None:
    names = [f"{split}/{i}.png" for split in ("trainA", "trainB") for i in range(3)]
    apart = write_pictures(tmp_path / "set", names)
    beside = write_pictures(tmp_path / "wide", [f"train/{i}.png" for i in range(3)], 20, 40)
    for kind, root in ((UnpairedFolder, apart), (PairedFolder, beside)):
        out = tmp_path / root.name / target
        pair = [kind(seed=0, root=str(root), resolution=16, load_size=16)]
        prepared(pair[0])
        if target == "out":
            packed(pair[0], out)
        else:
            pack(out, pair[0].sources(print), {}, {})
        pair.append(kind(seed=0, root=str(out), resolution=16, load_size=16))
        prepared(pair[1])
        for position in range(9):
            before, after = (data.item(position) for data in pair)
            assert all((before[key] == after[key]).all() for key in "ab")
