"""Every data set offers what `Dataset` promises."""

import inspect

import numpy as np
import pytest

from gantrain.data.base import Dataset, FileDataset, check_members
from gantrain.data.cifar10 import CIFAR10
from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from gantrain.data.mnist import MNIST
from gantrain.data.shape_images import ShapeImages
from gantrain.data.shapes import UnpairedShapes
from gantrain.errors import ConfigError
from tests.helpers.picture_sets import write_set
from tests.helpers.published_sets import cifar10_folder, mnist_folder


@pytest.fixture(params=["folder", "images", "shapes", "shape_images", "cifar10", "mnist"])
def dataset(request: pytest.FixtureRequest, tmp_path) -> Dataset:
    """Pyright checks here that each class fits the protocol."""
    kind: str = request.param
    if kind == "folder":
        write_set(tmp_path)
        return UnpairedFolder(seed=0, root=str(tmp_path), resolution=16, cache="none")
    if kind == "images":
        write_set(tmp_path)
        root = str(tmp_path / "trainA")
        return ImageFolder(seed=0, root=root, resolution=16, cache="none", held_out=1)
    if kind == "shapes":
        return UnpairedShapes(seed=0, resolution=16, train_images=4, test_images=2)
    if kind == "shape_images":
        return ShapeImages(seed=0, resolution=16, train_images=4, test_images=2, labels=True)
    if kind == "cifar10":
        cifar10_folder(tmp_path)
        return CIFAR10(seed=0, root=str(tmp_path))
    mnist_folder(tmp_path / "mnist")
    return MNIST(seed=0, root=str(tmp_path / "mnist"))


def test_what_is_promised_is_there(dataset: Dataset) -> None:
    dataset.prepare(batch=1, multiple=1, log=lambda _: None)
    streams = ["a", "b"] if dataset.kind == "unpaired" else ["image"]
    assert list(dataset.channels) == streams and dataset.images_per_epoch >= 1
    item = dataset.item(7)
    assert set(item) == {*streams, *["label"] * (dataset.label_dim > 0)}
    for stream in streams:
        for image in (item[stream], dataset.train_item(stream, 0), dataset.test_item(stream, 0)):
            assert image.shape == (dataset.channels[stream], *dataset.resolution)
        assert dataset.train_count(stream) >= 1
        held, tested = dataset.held_count(stream), dataset.test_count(stream)
        assert tested == (held or dataset.train_count(stream))
        assert dataset.test_name(stream, 0)
    if dataset.label_dim:
        for label in (item["label"], dataset.train_item("label", 0), dataset.test_item("label", 0)):
            assert label.shape == (dataset.label_dim,) and label.dtype == np.float32
    assert dataset.describe()["channels"] == dataset.channels


def test_parameters_have_the_names_of_the_protocol(dataset: Dataset) -> None:
    for name in ("prepare", "item", "train_count", "train_item", "held_count", "test_name"):
        own = inspect.signature(getattr(type(dataset), name)).parameters
        assert list(own) == list(inspect.signature(getattr(Dataset, name)).parameters), name


def test_only_sets_of_files_can_be_packed(dataset: Dataset) -> None:
    of_files = isinstance(dataset, UnpairedFolder | ImageFolder)
    assert isinstance(dataset, FileDataset) == of_files


class Incomplete:
    """A plug-in's data set that lacks members."""

    kind = "images"
    seed, has_pairs, channels, resolution = 0, False, {"image": 3}, (16, 16)
    images_per_epoch = 4

    def prepare(self, *, batch, multiple, log):
        """Prepare nothing."""

    def item(self, position):
        """Return nothing."""


def test_members_that_a_plug_in_lacks_are_named(dataset):
    check_members(dataset)
    told = "Incomplete lacks describe, held_count, label_dim, test_count, test_item, test_name, "
    with pytest.raises(ConfigError, match=f"{told}train_count, train_item, which .*: add them"):
        check_members(Incomplete())
