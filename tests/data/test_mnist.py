import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantrain.data.mnist import FILES, MNIST
from gantrain.errors import ConfigError
from tests.helpers.published_sets import mnist_folder
from tests.helpers.single_sets import check_description, check_order, prepared

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def root(tmp_path):
    mnist_folder(tmp_path / "set")
    return tmp_path / "set"


def ready(root: Path, **settings: Any) -> MNIST:
    data = MNIST(**{"seed": 7, "root": str(root), **settings})
    prepared(data)
    return data


def raw(root: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.fromfile(root / f"{prefix}-images-idx3-ubyte", np.uint8)[16:]
    return pictures.reshape(-1, 28, 28), np.fromfile(
        root / f"{prefix}-labels-idx1-ubyte", np.uint8
    )[8:]


def test_order_mirroring_and_labels(root):
    check_order(*(ready(root, seed=seed, labels=True) for seed in (7, 7, 8)))


@pytest.mark.parametrize("side", [28, 32])
def test_pictures_go_with_their_labels(root, side):
    data = ready(root, labels=True, resolution=side)
    assert data.resolution == (side, side) and data.channels == {"image": 1}
    border = (side - 28) // 2
    pictures, labels = raw(root, "train")
    seen = set()
    for item in map(data.item, range(8)):
        image = item["image"]
        inner = image[0, border : side - border, border : side - border]
        (number,) = np.flatnonzero((pictures == inner).all((1, 2)))
        seen.add(number)
        assert image.shape == (1, side, side) and image.sum() == pictures[number].sum()
        assert item["label"].tolist() == np.eye(10)[labels[number]].tolist()
    assert len(seen) == 8
    pictures, labels = raw(root, "t10k")
    assert (
        data.test_item("image", 5)[0, border : border + 28, border : border + 28] == pictures[5]
    ).all()
    assert data.test_item("label", 5)[labels[5]] == 1


def test_packed_files_and_torchvisions_names_are_the_same(root, tmp_path):
    wanted = check_description(ready(root, labels=True), tmp_path)
    assert wanted["train"] == wanted["test"] == 8
    assert wanted["labels"] == {"dim": 10, "kind": "class", "names": list("0123456789")}
    (tmp_path / "other").mkdir()
    for number, name in enumerate(FILES):
        content = (root / name).read_bytes()
        if number % 2:
            (tmp_path / "other" / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (tmp_path / "other" / name.replace("-idx", ".idx")).write_bytes(content)
    assert ready(tmp_path / "other", labels=True).describe() == wanted


def test_max_images(root):
    data = ready(root, max_images=3, resolution=28)
    wanted = {one.tobytes() for one in raw(root, "train")[0][:3]}
    assert data.images_per_epoch == 3 and data.item(0).keys() == {"image"}
    assert {data.item(position)["image"].tobytes() for position in range(6)} == wanted


def test_missing_files_are_all_named(root):
    for name in (IMAGES, LABELS):
        (root / name).unlink()
    with pytest.raises(ConfigError, match=rf"lacks {IMAGES}, {LABELS} .*data\.root=null"):
        MNIST(seed=0, root=str(root))
    with pytest.raises(ConfigError, match="lacks"):
        MNIST(seed=0, root=str(root / "nowhere"))


def idx(*shape: int, magic: int | None = None) -> bytes:
    magic = 0x0800 + len(shape) if magic is None else magic
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + bytes(int(np.prod(shape)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (IMAGES, b""),
        (IMAGES, b"an error page"),
        (IMAGES, idx(8, 28, 28)[:-1]),
        (IMAGES, idx(8, 28, 28, magic=0x0D03)),
        (IMAGES, idx(8, 27, 28)),
        (IMAGES, idx(0, 28, 28)),
        (IMAGES, idx(7, 28, 28)),
        (IMAGES, gzip.compress(bytes(9000), mtime=0)[:-9]),
        (IMAGES, b"\x1f\x8b" + bytes(99)),
        (IMAGES, gzip.compress(bytes(range(256)), mtime=0)[:12] + bytes(99)),
        (LABELS, idx(9)),
        (LABELS, idx(7) + b"\x0a"),
        (LABELS, struct.pack(">II", 0x0801, 8) + b"\x0a" * 8),
    ],
)
def test_damaged_files_are_named(root, name, content):
    (root / name).write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"train-(images|labels).*remove it and download it again\."
    ):
        ready(root)


def test_a_model_that_needs_larger_sides(root):
    with pytest.raises(ConfigError, match=r"=28 .* multiples of 8: use data\.resolution=32"):
        prepared(MNIST(seed=0, root=str(root), resolution=28), multiple=8)
