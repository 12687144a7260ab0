from typing import Any

import pytest
import torch

from gantrain.errors import ConfigError
from gantrain.inference.labels import cycle_classes, label_text, label_vector

CLASSES = {"dim": 3, "kind": "class", "names": ["cat", "dog", "fox"]}
NUMBERED = {"dim": 3, "kind": "class", "names": ["1", "2", "10"]}  # folders called like this
MIXED = {"dim": 3, "kind": "class", "names": ["7", "cat", "dog"]}
TAGS = {"dim": 3, "kind": "multi", "names": ["red", "round", "big"]}
NUMBERS = {"dim": 2, "kind": "float", "names": []}


@pytest.mark.parametrize(
    ("label", "about", "vector"),
    [
        (1, CLASSES, [0, 1, 0]),
        (1, None, [0, 1, 0]),
        ("dog", CLASSES, [0, 1, 0]),
        ("2", CLASSES, [0, 0, 1]),
        (1, NUMBERED, [1, 0, 0]),  # a class called 1
        ("10", NUMBERED, [0, 0, 1]),
        (7, MIXED, [1, 0, 0]),
        ([0.5, 0, 0.5], CLASSES, [0.5, 0, 0.5]),
        ([0, 1, 1], TAGS, [0, 1, 1]),
        (["red", "big"], TAGS, [1, 0, 1]),
        ("round", TAGS, [0, 1, 0]),
        ([0.3, -2], NUMBERS, [0.3, -2]),
        (1.5, {"kind": "float"}, [1.5]),
        (0, {"kind": "class"}, [1]),
    ],
)
def test_vectors(label: Any, about: dict[str, Any] | None, vector: list[float]) -> None:
    found = label_vector(label, len(vector), about)
    assert found.dtype == torch.float32 and torch.equal(found, torch.tensor(vector).float())


@pytest.mark.parametrize(
    ("label", "about", "said"),
    [
        ("dgo", CLASSES, "Did you mean class=dog? Classes: cat, dog, fox."),
        (3, CLASSES, "class=3 is not a class of this snapshot. Classes: cat, dog, fox."),
        (0, NUMBERED, "class=0 is not a class of this snapshot. Classes: 1, 2, 10."),  # not first
        (1, MIXED, "Classes: 7, cat, dog."),
        (0.5, NUMBERED, "give a class by its name, or a list of 3 numbers"),
        (3, None, "Classes: 0 to 2."),
        ("cat", None, "Classes: 0 to 2."),
        (["cat", "dog"], CLASSES, "one class"),
        ([1, 0], CLASSES, "a class number from 0 to 2, its name, or a list of 3 numbers"),
        ([1, 0], TAGS, "or a list of names, or a list of 3 numbers"),
        (0.5, CLASSES, "does not fit"),
        ([], CLASSES, "does not fit"),
        (1, NUMBERS | {"dim": 3}, "give a list of 3 numbers, the label"),
    ],
)
def test_refusals(label: Any, about: dict[str, Any] | None, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        label_vector(label, 3, about)
    assert said in str(error.value)


def test_classes_cycle_by_seed() -> None:
    assert cycle_classes([0, 4, 2], 3, None).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    with pytest.raises(ConfigError, match="needs class=: give a list of 2 numbers"):
        cycle_classes([0], 2, NUMBERS)


@pytest.mark.parametrize(
    ("about", "examples"),
    [
        (TAGS, [[1.0, 1, 0], [0, 0, 0]]),
        ({"dim": 3, "kind": "float", "names": ["0", "1", "2"]}, [[0.5, -1, 7], [1, 2, 3]]),
    ],
)
def test_other_labels_are_those_of_training_images(
    about: dict[str, Any], examples: list[list[float]]
) -> None:
    found = cycle_classes([0, 3, 2], 3, about | {"examples": examples})
    assert found.tolist() == [examples[0], examples[1], examples[0]]


@pytest.mark.parametrize(
    ("vector", "about", "text"),
    [
        ([0.0, 1, 0], CLASSES, "dog"),
        ([0.5, 0.5, 0], CLASSES, "0.5, 0.5, 0"),  # a mix
        ([1.0, 0, 1], TAGS, "red, big"),
        ([0.0, 0, 0], TAGS, "no class"),
        ([1.0, 0], NUMBERS, "1, 0"),
        ([25.0], {"kind": "float", "names": ["0"]}, "25"),
        ([0.0, 1], None, "1"),
    ],
)
def test_labels_in_words(vector: list[float], about: dict[str, Any] | None, text: str) -> None:
    assert label_text(torch.tensor(vector), about) == text
