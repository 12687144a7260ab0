"""Sets of single pictures for the tests, and what holds for every one of them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gantrain.data.base import ImageDataset
from tests.helpers.picture_sets import picture


def write_pictures(root: Path, names: list[str], height: int = 40, width: int = 48) -> Path:
    """picture(n) as `root`/names[n]."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number, height, width).save(root / name)
    return root


def pack(root: Path, archive: Path, below: str = "") -> Path:
    """A zip of all files below `root`, under `below` in it."""
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                target.write(path, below + path.relative_to(root).as_posix())
    return archive


def write_labels(folder: Path, pairs: Any) -> None:
    (folder / "dataset.json").write_text(json.dumps({"labels": pairs}))


def prepared(data: Any, multiple: int = 4) -> list[str]:
    """Prepare `data`; the lines it logged."""
    lines: list[str] = []
    data.prepare(batch=1, multiple=multiple, log=lines.append)
    return lines


def check_order(data: ImageDataset, same: ImageDataset, other: ImageDataset) -> None:
    """Order, mirroring and labels; `same` has data's seed, `other` another one; all may mirror."""
    count = data.images_per_epoch
    data.flip = same.flip = other.flip = False
    passes = [[content(data.item(p)) for p in range(n * count, (n + 1) * count)] for n in range(3)]
    pictures = {content({"image": data._image("train", index)}) for index in range(count)}
    for one in passes:
        assert {image for image, _ in one} == {image for image, _ in pictures}
        assert len(one) == count
    assert passes[0] != passes[1] != passes[2]
    assert [content(other.item(p)) for p in range(count)] != passes[0]
    far = (10**12 + 5, 3 * count, 1, 0)  # in any order, from a fresh start
    assert [content(same.item(p)) for p in far] == [content(data.item(p)) for p in far]
    check_mirroring(data, same)


def check_mirroring(data: ImageDataset, plain: ImageDataset) -> None:
    """A coin of the position alone mirrors; the label and everything else stay."""
    data.flip, plain.flip = True, False
    coins = []
    for position in range(120):
        item, as_is = data.item(position), plain.item(position)
        mirrored = (item["image"] != as_is["image"]).any()
        wanted = as_is["image"][:, :, ::-1] if mirrored else as_is["image"]
        assert (item["image"] == wanted).all() and item["image"].flags.c_contiguous
        assert item.keys() == as_is.keys()
        assert "label" not in item or (item["label"] == as_is["label"]).all()
        coins.append(mirrored)
    assert 30 < sum(coins) < 90
    by_number: dict[bytes, set[bool]] = {}
    for position, coin in enumerate(coins):
        by_number.setdefault(plain.item(position)["image"].tobytes(), set()).add(bool(coin))
    if len(by_number) <= 20:  # each came often enough: one picture is mirrored at times only
        assert {True, False} in by_number.values()


def content(item: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Picture and label, to compare."""
    assert item["image"].dtype == np.uint8
    return item["image"].tobytes(), item.get("label", np.empty(0)).tobytes()


def check_description(data: ImageDataset, place: Path) -> dict[str, Any]:
    """It is plain, and names `place` under "folders" only."""
    described = data.describe()
    assert json.loads(json.dumps(described)) == described
    assert yaml.safe_load(yaml.safe_dump(described)) == described
    rest = {key: value for key, value in described.items() if key != "folders"}
    assert str(place) not in str(rest) and "/" not in json.dumps(rest)
    assert described["fingerprint"] and len(str(described["fingerprint"])) == 16
    return described
