import json

import numpy as np
import pytest

from gantrain.data.labels import (
    Labels,
    from_folders,
    from_values,
    labels_of,
    limited_indices,
    parse_json,
)
from gantrain.errors import ConfigError


def file(pairs) -> bytes:
    return json.dumps({"labels": pairs}).encode()


def vectors(labels, values):
    return [labels.vector(value).tolist() for value in values]


def test_folders_are_classes():
    names = {"train": ["dog/1.png", "cat/x/1.png", "cat/2.png"], "test": ["dog/0.png"]}
    labels, values = from_folders(names)
    assert labels == Labels("class", ("cat", "dog")) and labels.dim == 2
    assert vectors(labels, values["train"]) == [[0, 1], [1, 0], [1, 0]]
    assert vectors(labels, values["test"]) == [[0, 1]]
    assert labels.vector(values["train"][0]).dtype == np.float32


def test_pictures_in_no_folder_are_named():
    names = [f"{n:02d}.png" for n in range(14)]
    with pytest.raises(ConfigError, match=r"00\.png, .*09\.png and 4 more.*data\.labels=false"):
        from_folders({"train": ["a/1.png", *names]})


def test_a_class_of_test_pictures_only_is_refused():
    with pytest.raises(ConfigError, match=r"classes Cat have no training images"):
        from_folders({"train": ["cat/1.png"], "test": ["cat/2.png", "Cat/3.png"]})


def test_json_follows_the_names_not_its_own_order():
    text = file([["b.png", 2], ["a\\x.png", 0], ["other.png", 9], ["c.png", 1]])
    names = ["a/x.png", "b.png", "c.png"]
    raw = labels_of(names, parse_json(text, "set/dataset.json"), "set/dataset.json")
    assert raw == [0, 2, 1]
    labels, values = from_values({"train": raw}, {"train": names})
    assert labels == Labels("class", ("0", "1", "2"))
    assert vectors(labels, values["train"]) == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("train", "test", "kind"),
    [
        ([[0, 1, 1], [1, 0, 0]], [[0, 0, 0]], "multi"),
        ([[0.5, -3], [1, 0]], [[0, 1]], "float"),
        ([[0, 1], [1, 0]], [[0, 7]], "float"),
        ([[1.0], [0]], [], "multi"),
    ],
)
def test_lists_are_vectors(train, test, kind):
    raw = {"train": train, "test": test}
    names = {split: [f"{n}.png" for n in range(len(found))] for split, found in raw.items()}
    labels, values = from_values(raw, names)
    assert labels.kind == kind and labels.dim == len(train[0])
    for split, found in raw.items():
        assert vectors(labels, values[split]) == found
        assert values[split].dtype == np.float32 and values[split].shape == (
            len(found),
            labels.dim,
        )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"labels": 3}',
        b'{"labels": [["a.png"]]}',
        b'{"labels": [3]}',
    ],
)
def test_another_form_is_a_sentence(text):
    with pytest.raises(ConfigError, match=r"set/dataset\.json cannot be read .*it must be"):
        parse_json(text, "set/dataset.json")


def test_null_labels_and_missing_ones():
    with pytest.raises(ConfigError, match=r"says that there are none .*data\.labels=false"):
        labels_of(["a.png"], parse_json(b'{"labels": null}', "dataset.json"), "dataset.json")
    with pytest.raises(ConfigError, match=r"no label for b\.png, c\.png: add them"):
        labels_of(["a.png", "b.png", "c.png"], {"a.png": 0}, "dataset.json")


@pytest.mark.parametrize(
    ("good", "odd"),
    [
        (1, [None, True, -1, 1.0, "1", [1], 10**9]),
        ([0, 1], [None, 3, [0], [0, 1, 1], [0, "1"], [0, None], [0, float("nan")], [0, 1e39]]),
    ],
)
def test_every_label_of_another_kind_is_named(good, odd):
    raw = [good, *odd]
    names = [f"p{n}.png" for n in range(len(raw))]
    with pytest.raises(ConfigError) as caught:
        from_values({"train": raw}, {"train": names})
    told = str(caught.value)
    assert "p0.png" not in told and all(f"{name} (" in told for name in names[1:])


@pytest.mark.parametrize("value", [None, -1, [], "", 0.5])
def test_the_first_label_may_be_the_odd_one(value):
    with pytest.raises(ConfigError, match=r"Fix those of a\.png"):
        from_values({"train": [value]}, {"train": ["a.png"]})


def test_texts_are_class_names():
    raw = {"train": ["dog", "cat", "dog"], "test": ["cat"]}
    names = {split: [f"{n}.png" for n in range(len(found))] for split, found in raw.items()}
    labels, values = from_values(raw, names)
    assert labels == Labels("class", ("cat", "dog"))
    assert values["train"].tolist() == [1, 0, 1] and values["test"].tolist() == [0]
    with pytest.raises(ConfigError, match=r"class names, as the first one is. Fix those of 1\.png"):
        from_values({"train": ["dog", 1]}, {"train": ["0.png", "1.png"]})
    with pytest.raises(ConfigError, match=r"classes fox have no training images: give them"):
        from_values({**raw, "test": ["fox"]}, names)


def test_numbers_are_in_numeric_order_from_version_2_on():
    folders = [f"{number}/x.png" for number in (10, 9, 1, 2)]
    assert from_folders({"train": folders})[0].names == ("1", "2", "9", "10")
    assert from_folders({"train": folders}, 1)[0].names == ("1", "10", "2", "9")
    mixed = [*folders, "a/x.png"]
    assert from_folders({"train": mixed})[0].names == ("1", "10", "2", "9", "a")
    texts = [str(number) for number in (10, 9, 1, 2)]
    labels, values = from_values({"train": texts}, {"train": folders})
    assert labels.names == ("1", "2", "9", "10") and values["train"].tolist() == [3, 2, 0, 1]


@pytest.mark.parametrize("again", [0, 2])
def test_an_image_with_two_labels_is_refused(again):
    text = file([["a.png", 0], ["sub\\b.png", 1], ["sub/b.png", again], ["c.png", 1]])
    with pytest.raises(ConfigError, match=r"d\.json has more than one label for sub/b\.png: keep"):
        parse_json(text, "d.json")


def test_classes_without_images_are_said():
    raw = {"train": [1, 2, 4, 4], "test": [1]}
    names = {split: [f"{n}.png" for n in range(len(found))] for split, found in raw.items()}
    labels, values = from_values(raw, names)
    classes, gaps = labels.notes(values["train"])
    assert classes == "classes in order: 0 (0), 1 (1), 2 (1), 3 (0), 4 (2)"
    assert "no training image has the class 0, 3, of 5" in gaps
    labels, values = from_values({"train": [1, 2]}, {"train": ["a", "b"]})
    assert "the class 0 (numbers start at 0), of 3" in labels.notes(values["train"])[1]
    assert labels.counts(values["train"]) == {"0": 0, "1": 1, "2": 1}


def test_other_labels_are_described():
    labels, values = from_values({"train": [[0, 1], [1, 1]]}, {"train": ["a", "b"]})
    assert labels.notes(values["train"])[0].endswith("in order: 0 (1), 1 (2)")
    labels, values = from_values({"train": [[0.5, 1], [7, -2]]}, {"train": ["a", "b"]})
    assert labels.notes(values["train"]) == ["labels of 2 numbers, in order: 0.5 to 7, -2 to 1"]
    assert labels.counts(values["train"]) == {}


@pytest.mark.parametrize(
    ("count", "kept"),
    [(1, [0]), (3, [0, 4, 5]), (4, [0, 1, 4, 5]), (5, [0, 1, 4, 5, 6]), (6, [0, 1, 2, 4, 5, 6])],
)
def test_a_limit_keeps_every_class(count, kept):
    labels = Labels("class", ("a", "b", "c"))
    values = np.array([0, 0, 0, 0, 1, 2, 2], np.int64)
    assert limited_indices(labels, values, count) == kept
    for enough in (7, 9):
        assert limited_indices(labels, values, enough) == [*range(7)]


def test_a_limit_of_other_labels_is_spread():
    values = np.zeros((10, 2), np.float32)
    for kind in ("multi", "float"):
        assert limited_indices(Labels(kind, ("a", "b")), values, 4) == [0, 2, 5, 7]


@pytest.mark.parametrize(("count", "kept"), [(1, [3]), (2, [3, 7]), (4, [0, 3, 5, 7])])
def test_a_limit_keeps_every_class_of_images_with_several(count, kept):
    values = np.zeros((10, 4), np.float32)  # nobody has the last class
    values[3], values[4], values[7] = [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]
    assert limited_indices(Labels("multi", ("a", "b", "c", "d")), values, count) == kept


def test_a_class_number_of_test_pictures_only_is_refused():
    names = {"train": ["a.png", "b.png"], "test": ["c.png", "d.png"]}
    with pytest.raises(ConfigError, match=r"Fix those of d\.png \(3\)"):
        from_values({"train": [0, 2], "test": [1, 3]}, names)


def test_many_classes_take_little_memory():
    labels, values = from_values({"train": list(range(50_000))}, {"train": ["x"] * 50_000})
    assert values["train"].nbytes < 1e6 and labels.vector(values["train"][49_999])[-1] == 1


def test_the_description_is_plain():
    described = Labels("multi", ("a", "b")).describe()
    assert json.loads(json.dumps(described)) == described
    assert described == {"dim": 2, "kind": "multi", "names": ["a", "b"]}


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([[20.0], [40], [60], [80]], [[50], [500**0.5]]),
        ([[0.0, 7], [0.5, 7]], [[0.25, 7], [0.25, 1]]),  # one that never changes
        ([[1e30], [-1e30]], [[0], [1e30]]),
        ([[1.7e9], [1.7e9 + 640]], [[1.7e9 + 320], [320]]),  # times; float32 holds both
        ([[0.1]] * 7, [[0.1], [1]]),
        ([[0.0], [1e-44]], [[0], [1]]),
    ],
)
def test_the_scale_of_numbers(values, scale):
    labels, arrays = from_values({"train": values}, {"train": [str(i) for i in range(len(values))]})
    found = labels.scale(arrays["train"])
    assert found is not None
    np.testing.assert_allclose(found, scale, rtol=1e-6, atol=1e-40)


def test_classes_have_no_scale():
    for raw in ([0, 1], [[0, 1], [1, 1]], ["cat", "dog"]):
        labels, arrays = from_values({"train": raw}, {"train": ["a", "b"]})
        assert labels.scale(arrays["train"]) is None


def test_examples_are_labels_of_many_images():
    labels = Labels("multi", ("a", "b"))
    values = np.array([[1, 1]] * 500 + [[0, 1]] * 500, np.float32)
    examples = labels.examples(values)
    assert len(examples) == 256 and 80 < examples.count([1, 1]) < 176
    assert examples.count([1, 1]) + examples.count([0, 1]) == 256
    assert len(Labels("float", ("0",)).examples(values[:3, :1])) == 3
    wide = Labels("float", tuple(map(str, range(70_000))))
    assert len(wide.examples(np.zeros((4, 70_000), np.float32))) == 1
    assert Labels("class", ("a", "b")).examples(np.array([0, 1])) == []
