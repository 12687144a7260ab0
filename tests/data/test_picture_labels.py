import json

import numpy as np
import pytest

from gantrain.data.labels import Labels, from_folders, from_values, read_json
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
    raw = read_json(text, names, "set/dataset.json")
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
        read_json(text, ["a.png"], "set/dataset.json")


def test_null_labels_and_missing_ones():
    with pytest.raises(ConfigError, match=r"says that there are none .*data\.labels=false"):
        read_json(b'{"labels": null}', ["a.png"], "dataset.json")
    with pytest.raises(ConfigError, match=r"no label for b\.png, c\.png: add them"):
        read_json(file([["a.png", 0]]), ["a.png", "b.png", "c.png"], "dataset.json")


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


@pytest.mark.parametrize("value", [None, -1, [], "cat", 0.5])
def test_the_first_label_may_be_the_odd_one(value):
    with pytest.raises(ConfigError, match=r"Fix those of a\.png"):
        from_values({"train": [value]}, {"train": ["a.png"]})


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
