"""Labels of images as float32 vectors: one class, several classes, or any numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gantrain.errors import ConfigError

Kind = Literal["class", "multi", "float"]
Values = np.ndarray  # of N images: class indices, int64 [N], or vectors, float32 [N, dim]

_MAX_LISTED = 10  # names in a message
_MAX_CLASSES = 100_000
_MAX_NUMBER = 1e38  # float32 holds a little more


@dataclass(frozen=True)
class Labels:
    """The kind of a set's labels.

    Args:
        kind: "class": one-hot vectors; "multi": zeros and ones; "float": any numbers.
        names: one per entry.
    """

    kind: Kind
    names: tuple[str, ...]

    @property
    def dim(self) -> int:
        """Entries of a label."""
        return len(self.names)

    def vector(self, value: np.ndarray) -> np.ndarray:
        """Return the label, float32 [dim], of one image's entry in `Values`."""
        if self.kind != "class":
            return value
        vector = np.zeros(self.dim, np.float32)
        vector[int(value)] = 1
        return vector

    def describe(self) -> dict[str, object]:
        """Return a description in plain values, for snapshots."""
        return {"dim": self.dim, "kind": self.kind, "names": list(self.names)}


def from_folders(names: Mapping[str, Sequence[str]]) -> tuple[Labels, dict[str, Values]]:
    """Return class labels from the first folder of every path.

    Args:
        names: paths of the images, by split.

    Returns:
        The labels, and the images' values by split.

    Raises:
        ConfigError: images are in no folder, or test images of a class without training images.
    """
    outside = [name for split in names.values() for name in split if "/" not in name]
    if outside:
        raise ConfigError(
            "data.labels=true, but there is no dataset.json, and these images are in no "
            f"sub-folder that could name their class: {join_limited(outside)}. Move them, or set "
            "data.labels=false."
        )
    folders = {split: [name.split("/")[0] for name in paths] for split, paths in names.items()}
    classes = sorted(set(folders["train"]))
    if unknown := sorted(set().union(*folders.values()) - set(classes)):
        raise ConfigError(
            f"The test images' classes {join_limited(unknown)} have no training images: rename "
            "these folders to the same names as in train/, or set data.labels=false."
        )
    index_of = {name: index for index, name in enumerate(classes)}
    values = {
        split: np.array([index_of[name] for name in folder_names], np.int64)
        for split, folder_names in folders.items()
    }
    return Labels("class", tuple(classes)), values


def read_json(text: bytes, names: Sequence[str], file: str) -> list[Any]:
    """Return the labels of images from a dataset.json of the StyleGAN tools.

    Args:
        text: {"labels": [[name, class number or list of numbers], ...]}.
        names: of the images.
        file: name of the file, for errors.

    Returns:
        A class number or a list of numbers for each name, in their order.

    Raises:
        ConfigError: the file has another format, or lacks an image.
    """
    try:
        pairs = json.loads(text)["labels"]
        labels = {str(name).replace("\\", "/"): label for name, label in pairs or ()}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f'{file} cannot be read ({error}): it must be {{"labels": [[name, class number or '
            "list of numbers], ...]}."
        ) from error
    if pairs is None:
        raise ConfigError(
            f'data.labels=true, but {file} says that there are none ("labels": null): add them '
            "to it, or set data.labels=false."
        )
    if missing := [name for name in names if name not in labels]:
        raise ConfigError(
            f"data.labels=true, but {file} has no label for {join_limited(missing)}: add them, "
            "or set data.labels=false."
        )
    return [labels[name] for name in names]


def from_values(
    raw: Mapping[str, Sequence[Any]], names: Mapping[str, Sequence[str]]
) -> tuple[Labels, dict[str, Values]]:
    """Return labels from values of dataset.json; the training images decide their kind.

    Args:
        raw: by split, from `read_json`.
        names: of the images, by split.

    Returns:
        The labels, and the images' values by split.

    Raises:
        ConfigError: names the images whose labels are of another kind than the first image's.
    """
    first = raw["train"][0]
    are_classes = type(first) is int
    length = len(first) if isinstance(first, list) else 0
    last_class = max((value for value in raw["train"] if type(value) is int), default=-1)

    def is_valid(value: Any) -> bool:
        if are_classes:
            return type(value) is int and 0 <= value <= min(last_class, _MAX_CLASSES - 1)
        return isinstance(value, list) and len(value) == length > 0 and all(map(_is_number, value))

    invalid = [
        f"{name} ({json.dumps(value)[:40]})"
        for split in raw
        for name, value in zip(names[split], raw[split], strict=True)
        if not is_valid(value)
    ]
    if invalid:
        raise ConfigError(
            "The labels in dataset.json must all be class numbers from 0 on, without large gaps "
            "and none that only test images have, or all be lists of equally many numbers. "
            f"Fix those of {join_limited(invalid)}."
        )
    if are_classes:
        labels = Labels("class", tuple(map(str, range(last_class + 1))))
        return labels, {split: np.array(values, np.int64) for split, values in raw.items()}
    vectors = {split: np.array(v, np.float32).reshape(-1, length) for split, v in raw.items()}
    binary = all(np.isin(array, (0, 1)).all() for array in vectors.values())
    return Labels("multi" if binary else "float", tuple(map(str, range(length)))), vectors


def join_limited(names: Sequence[str]) -> str:
    """Join the first names for a message, such as "a, b and 7 more"."""
    rest = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + rest


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _MAX_NUMBER  # False for NaN
