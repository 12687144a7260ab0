import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantrain.data.cifar10 import ARCHIVE, CIFAR10, CLASSES, FOLDER
from gantrain.errors import ConfigError
from tests.helpers.published_sets import cifar10_folder
from tests.helpers.single_sets import check_description, check_order, prepared

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.fixture
def root(tmp_path):
    cifar10_folder(tmp_path / "set")
    return tmp_path / "set"


def packed(root: Path, target: Path, names: tuple[str, ...] = (FOLDER,)) -> Path:
    with tarfile.open(target, "w:gz") as archive:
        for name in names:
            archive.add(root / name, name)
    return target


def ready(root: Path, **settings: Any) -> CIFAR10:
    data = CIFAR10(**{"seed": 7, "root": str(root), **settings})
    prepared(data)
    return data


def raw(root: Path) -> dict[str, Any]:
    """All batches one after the other: pictures [24, 3, 32, 32] and class numbers."""
    parts = [pickle.loads((root / FOLDER / name).read_bytes()) for name in BATCHES]
    pictures = np.concatenate([part[b"data"] for part in parts])
    return {
        "pictures": [row.reshape(3, 32, 32) for row in pictures],
        "labels": [label for part in parts for label in part[b"labels"]],
    }


def test_order_mirroring_and_labels(root):
    check_order(*(ready(root, seed=seed, labels=True) for seed in (7, 7, 8)))


def test_pictures_go_with_their_labels(root):
    data, wanted = ready(root, labels=True), raw(root)
    assert data.images_per_epoch == 20 and data.test_count("image") == 4 and data.label_dim == 10
    places = {one.tobytes(): n for n, one in enumerate(wanted["pictures"])}
    for item in map(data.item, range(20)):
        number = places[item["image"].tobytes()]
        assert number < 20 and item["image"].shape == (3, 32, 32)
        assert item["label"].tolist() == np.eye(10)[wanted["labels"][number]].tolist()
    for index in range(4):
        assert (data.test_item("image", index) == wanted["pictures"][20 + index]).all()
        assert data.test_item("label", index)[wanted["labels"][20 + index]] == 1


def test_archive_and_folder_are_the_same(root, tmp_path):
    archive = packed(root, tmp_path / ARCHIVE)
    wanted = check_description(ready(root, labels=True), tmp_path)
    assert wanted["labels"]["names"] == list(CLASSES) and wanted["channels"] == {"image": 3}
    for place in (root / FOLDER, archive, tmp_path):
        assert ready(place, labels=True).describe() == wanted
    assert ready(root).item(0).keys() == {"image"}


@pytest.mark.parametrize(("labels", "reading"), [(False, 2), (True, 1), (True, 2)])
def test_max_images(root, labels, reading):
    data, wanted = ready(root, max_images=6, labels=labels, reading=reading), raw(root)
    assert data.images_per_epoch == 6 and data.label_dim == 10 * labels
    indices = [*range(6)]
    if labels and reading == 2:  # one of each class before a second one of any
        firsts = sorted(wanted["labels"].index(c) for c in sorted({*wanted["labels"]})[:6])
        indices = firsts
    seen = {data.item(position)["image"].tobytes() for position in range(12)}
    assert seen == {wanted["pictures"][i].tobytes() for i in indices}
    if labels:
        classes = {int(data.item(p)["label"].argmax()) for p in range(12)}
        assert classes == {wanted["labels"][i] for i in indices}
    assert data.describe()["fingerprint"] != ready(root, labels=True).describe()["fingerprint"]


def test_the_size_is_told_before_it_is_read():
    data = CIFAR10(seed=0, labels=True)  # downloads nothing yet
    assert data.images_per_epoch == 50_000 and data.resolution == (32, 32) and data.label_dim == 10


def write_batch(root: Path, **changes: Any) -> None:
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], **changes}
    content = pickle.dumps({key.encode(): value for key, value in batch.items()}, 2)
    (root / FOLDER / "data_batch_3").write_bytes(content)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize("archive", [False, True])
def test_code_in_a_batch_does_not_run(root, tmp_path, archive):
    write_batch(root, data=Harmful(tmp_path / "made"))
    place = packed(root, tmp_path / ARCHIVE) if archive else root
    with pytest.raises(ConfigError, match=r"data_batch_3 is no batch .*not allowed.*download"):
        ready(place)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"data": np.zeros((2, 99), np.uint8)},
        {"data": np.zeros((2, 3072), np.int64)},
        {"data": np.zeros((0, 3072), np.uint8), "labels": []},
        {"data": [[0] * 3072] * 2},
        {"labels": [0]},
        {"labels": [0, 10]},
        {"labels": [0, -1]},
        {"labels": [0, b"1"]},
        {"labels": None},
    ],
)
def test_batches_of_another_form(root, changes):
    write_batch(root, **changes)
    with pytest.raises(ConfigError, match=r"data_batch_3 is no batch of CIFAR-10"):
        ready(root)


def test_a_damaged_batch(root):
    file = root / FOLDER / "data_batch_3"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="is no batch of CIFAR-10"):
        ready(root)


def test_a_missing_batch(root, tmp_path):
    (root / FOLDER / "data_batch_3").unlink()
    with pytest.raises(ConfigError, match=r"data_batch_3 cannot be read \(No such file"):
        ready(root)
    with pytest.raises(ConfigError, match=r"holds no data_batch_3: it is not cifar"):
        ready(packed(root, tmp_path / ARCHIVE))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_a_damaged_archive(root, tmp_path, damage):
    archive = packed(root, tmp_path / ARCHIVE)
    content = archive.read_bytes()
    middle = len(content) // 2
    archive.write_bytes(
        {
            "cut": content[:middle],
            "flipped": content[:middle] + bytes(64) + content[middle + 64 :],
            "text": b"an error page" * 99,
            "empty": b"",
        }[damage]
    )
    with pytest.raises(ConfigError, match=r"download it again|download cifar.* again"):
        ready(archive)


def test_wrong_roots(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"is neither cifar-10.*data\.root=null"):
            CIFAR10(seed=0, root=str(root))


def test_a_model_that_needs_larger_sides(root):
    data = CIFAR10(seed=0, root=str(root))
    with pytest.raises(ConfigError, match=r"multiples of 64: use data=folder"):
        prepared(data, multiple=64)
