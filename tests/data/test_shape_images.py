from typing import Any

import numpy as np
import pytest

from gantrain.data.shape_images import ShapeImages
from gantrain.data.shapes import COLORS, UnpairedShapes
from gantrain.errors import ConfigError
from tests.helpers.single_sets import check_description, check_order, prepared


def ready(**settings: Any) -> ShapeImages:
    data = ShapeImages(
        **{"seed": 7, "train_images": 20, "test_images": 10, "resolution": 32, **settings}
    )
    prepared(data)
    return data


def shown(image: np.ndarray) -> list[float]:
    """1 for each of the three colours that the picture [3, H, W] has, else 0."""
    return [float((image == color[:, None, None]).all(0).any()) for color in COLORS]


def test_order_mirroring_and_labels():
    check_order(*(ready(seed=seed, labels=True) for seed in (7, 7, 8)))


def test_labels_tell_which_colors_are_there():
    data = ready(labels=True, train_images=150, test_images=70)
    items = [data.item(position) for position in range(150)]
    tests = [{k: data.test_item(k, n) for k in ("image", "label")} for n in range(70)]
    for item in items + tests:
        assert item["label"].tolist() == shown(item["image"])
    kinds = {tuple(item["label"]) for item in items}
    assert len(kinds) == 7  # every choice of at least one of the three
    assert data.label_dim == 3 and items[0]["image"].shape == (3, 32, 32)


def test_the_pictures_are_domain_a_of_the_unpaired_set():
    unpaired = UnpairedShapes(seed=0, train_images=20, test_images=10, resolution=32, flip=False)
    prepared(unpaired)
    data = ready(flip=False)
    assert {data.item(p)["image"].tobytes() for p in range(20)} == {
        unpaired.item(p)["a"].tobytes() for p in range(20)
    }
    for index in range(10):
        assert (data.test_item("image", index) == unpaired.test_item("a", index)).all()


def test_the_description(tmp_path):
    described = check_description(ready(labels=True), tmp_path)
    assert described["train"] == 20 and described["test"] == 10
    assert described["labels"] == {
        "dim": 3,
        "kind": "multi",
        "names": ["circle", "square", "triangle"],
    }
    assert ready().describe()["labels"] is None


def test_numbers_of_pictures():
    few = ready(max_images=8, test_images=0)
    assert few.images_per_epoch == few.test_count("image") == 8  # training pictures serve
    assert len({few.item(p)["image"].tobytes() for p in range(32)}) <= 16  # 8, mirrored
    for settings in ({"resolution": 30}, {"resolution": 8}, {"train_images": 0}):
        with pytest.raises(ConfigError, match="data="):
            ready(**settings)
    with pytest.raises(ConfigError, match="use 256"):
        prepared(ShapeImages(seed=0), multiple=256)
