import numpy as np
import pytest

from gantrain.data.shapes import COLORS, WHITE, UnpairedShapes
from gantrain.errors import ConfigError


def shapes(**settings) -> UnpairedShapes:
    data = UnpairedShapes(**{"seed": 0, "train_images": 20, "test_images": 70, **settings})
    data.prepare(batch=1, multiple=4, log=lambda line: None)
    return data


def is_shape(image):
    """bool [H, W]: where a plain image [3, H, W] has one of the three colours."""
    return (image[None] == COLORS[:, :, None, None]).all(1).any(0)


def striped(image):
    """The rule of the module's docstring, applied to a plain image [3, H, W]."""
    rows = np.arange(image.shape[1])[:, None] % 4 >= 2
    return np.where(is_shape(image) & rows, np.uint8(WHITE), image)


@pytest.mark.parametrize("resolution", [32, 64])
def test_the_rule_translates_every_test_image_exactly(resolution):
    data = shapes(resolution=resolution)
    assert data.has_pairs and data.test_count("a") == data.test_count("b") == 70
    for index in range(70):
        a, b = data.test_item("a", index), data.test_item("b", index)
        assert a.shape == (3, resolution, resolution) and a.dtype == np.uint8
        assert 0.02 < is_shape(a).mean() < 0.6
        assert (striped(a) == b).all()
        assert data.test_name("a", index) == data.test_name("b", index)


def test_stripes_tell_the_plain_color():
    """b -> a is a function too: in every 4 rows of a shape two keep its colour."""
    data = shapes()
    a, b = data.test_item("a", 0), data.test_item("b", 0)
    colored = np.arange(64) % 4 < 2
    assert (a[:, colored] == b[:, colored]).all()


def test_training_scenes_are_unpaired_and_not_the_test_scenes():
    data = shapes(flip=False)
    items = [data.item(position) for position in range(20)]
    translated = {striped(item["a"]).tobytes() for item in items}
    assert len(translated) == 20
    assert not translated & {item["b"].tobytes() for item in items}
    tests = {data.test_item("a", index).tobytes() for index in range(70)}
    assert not tests & {item["a"].tobytes() for item in items}


def test_pictures_do_not_depend_on_the_seed_or_on_how_many_there_are():
    one, other = shapes(seed=0), shapes(seed=1, train_images=200, test_images=5)
    for domain in "ab":
        assert (one.test_item(domain, 4) == other.test_item(domain, 4)).all()


def test_items_are_a_pure_function_of_seed_and_position():
    one, same, other = shapes(), shapes(), shapes(seed=1)
    positions = (77, 3, 1000003)
    assert all((one.item(p)["b"] == same.item(p)["b"]).all() for p in positions)
    assert any((one.item(p)["b"] != other.item(p)["b"]).any() for p in positions)


def test_flip_mirrors_about_half_of_the_images_and_each_domain_by_itself():
    flipped, plain = shapes(), shapes(flip=False)
    mirrored = []
    for position in range(200):
        item, same = flipped.item(position), plain.item(position)
        mirrored.append([(item[d] != same[d]).any() for d in "ab"])
        for domain, was in zip("ab", mirrored[-1], strict=True):
            assert (item[domain] == (same[domain][:, :, ::-1] if was else same[domain])).all()
    share = np.mean(mirrored, 0)
    assert (abs(share - 0.5) < 0.12).all()
    assert 0.38 < np.mean([a == b for a, b in mirrored]) < 0.62


def test_max_images_limits_training():
    data = shapes(max_images=8)
    assert data.images_per_epoch == 8 and data.describe()["train"] == {"a": 8, "b": 8}
    assert len({data.item(position)["a"].tobytes() for position in range(64)}) <= 16  # 8, mirrored


@pytest.mark.parametrize("settings", [{"resolution": 30}, {"resolution": 8}, {"train_images": 1}])
def test_unfit_sizes_are_refused(settings):
    with pytest.raises(ConfigError, match="data="):
        UnpairedShapes(seed=0, **settings)


def test_a_model_that_needs_larger_multiples_is_told_the_size():
    with pytest.raises(ConfigError, match="use 256"):
        UnpairedShapes(seed=0).prepare(batch=1, multiple=256, log=print)
