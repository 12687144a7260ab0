"""Labels of images as float32 vectors: one class, several classes, or any numbers."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gantrain.data.image_files import Reading
from gantrain.errors import ConfigError

Kind = Literal["class", "multi", "float"]
Values = np.ndarray  # of N images: class indices, int64 [N], or vectors, float32 [N, dim]

MAX_EXAMPLES = 256
MAX_EXAMPLE_NUMBERS = 65536
_MAX_LISTED = 10  # names in a message
_MAX_CLASSES_LISTED = 20
MAX_CLASSES = 100_000
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

    def counts(self, values: Values) -> dict[str, int]:
        """Return the number of images of each class, in order; {} if labels are numbers."""
        if self.kind == "float":
            return {}
        totals = (
            np.bincount(values, minlength=self.dim)
            if self.kind == "class"
            else values.sum(axis=0, dtype=np.int64)
        )
        return {name: int(total) for name, total in zip(self.names, totals, strict=True)}

    def scale(self, values: Values) -> list[list[float]] | None:
        """Return [means, standard deviations] of the entries of `values`; None: not of numbers."""
        if self.kind != "float":
            return None
        wide = values.astype(np.float64)
        deviation = wide.std(axis=0)
        # An entry that is always the same has no scale, and becomes 0. Its computed deviation may
        # be a little more. One below the normal numbers of float32 cannot divide.
        same = wide.min(axis=0) == wide.max(axis=0)
        deviation[same | (deviation < np.finfo(np.float32).tiny)] = 1
        return [wide.mean(axis=0).tolist(), deviation.tolist()]

    def examples(self, values: Values) -> list[list[float]]:
        """Return labels of some images, drawn at random (always the same); []: of one class each.

        For seeds without a label: they cannot go through all combinations, or all numbers.
        """
        if self.kind == "class":
            return []
        count = max(1, min(MAX_EXAMPLES, len(values), MAX_EXAMPLE_NUMBERS // self.dim))
        return values[np.random.RandomState(0).permutation(len(values))[:count]].tolist()

    def notes(self, values: Values) -> list[str]:
        """Return sentences about the labels of the training images, which have `values`."""
        if self.kind == "float":
            low, high = values.min(axis=0), values.max(axis=0)
            ranges = [f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True)]
            return [f"labels of {self.dim} numbers, in order: {join_limited(ranges)}"]
        counts = self.counts(values)
        entries = [f"{name} ({count})" for name, count in counts.items()]
        kind = "classes" if self.kind == "class" else "classes, of which an image may have several,"
        notes = [f"{kind} in order: {join_limited(entries, _MAX_CLASSES_LISTED)}"]
        if empty := [name for name, count in counts.items() if not count]:
            first = " (numbers start at 0)" if empty == ["0"] else ""
            fix = (
                "number the classes from 0 on without gaps, give their names as texts, or raise "
                "data.max_images if that leaves the class out"
            )
            if self.names != tuple(map(str, range(self.dim))):
                fix = "add images of it, or raise data.max_images"
            notes.append(
                f"warning: no training image has the class {join_limited(empty)}{first}, of "
                f"{self.dim} that the networks have: nothing is learnt for it; {fix}"
            )
        return notes


def limited_indices(labels: Labels, values: Values, count: int) -> list[int]:
    """Return the indices of `count` images, in order, with as many of every class as possible.

    Of each class these are the first ones. Where images may have several classes, these are the
    first one of each class, and evenly spaced ones; of numbers, evenly spaced ones.

    Args:
        labels: the kind.
        values: of the images.
        count: at least 1.
    """
    total = len(values)
    if count >= total:
        return [*range(total)]
    if labels.kind != "class":
        firsts = _first_of_each(values)[:count] if labels.kind == "multi" else []
        rest = sorted({*range(total)} - {*firsts})
        more = count - len(firsts)
        return sorted([*firsts, *(rest[i * len(rest) // more] for i in range(more))])
    seen: dict[int, int] = {}
    rounds = []  # (how many of its class come before it, class, index)
    for index, value in enumerate(map(int, values)):
        rounds.append((seen.get(value, 0), value, index))
        seen[value] = seen.get(value, 0) + 1
    return sorted(index for _, _, index in sorted(rounds)[:count])


def _first_of_each(values: np.ndarray) -> list[int]:
    """Return the indices of the first image of each class that those before it do not have."""
    indices: list[int] = []
    for column in values.T:
        if column.any() and not column[indices].any():
            indices.append(int(column.argmax()))
    return indices


def class_order(names: Iterable[str], reading: Reading = 2) -> list[str]:
    """Return the names of classes in the order of their numbers.

    Args:
        names: each once or more often.
        reading: 1: always as texts; 2: by their values if all are numbers.
    """
    unique = sorted(set(names))
    if reading == 1 or not all(name.isdecimal() for name in unique):
        return unique
    return sorted(unique, key=int)


def from_folders(
    names: Mapping[str, Sequence[str]], reading: Reading = 2
) -> tuple[Labels, dict[str, Values]]:
    """Return class labels from the first folder of every path.

    Args:
        names: paths of the images, by split.
        reading: see `class_order`.

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
    return _from_names(folders, reading, "rename these folders to the same names as in train/")


def _from_names(
    classes: Mapping[str, Sequence[str]], reading: Reading, fix: str
) -> tuple[Labels, dict[str, Values]]:
    """Return class labels from the class names of the images, by split."""
    order = class_order(classes["train"], reading)
    if unknown := class_order(set().union(*classes.values()) - set(order), reading):
        raise ConfigError(
            f"The test images' classes {join_limited(unknown)} have no training images: {fix}, or "
            "set data.labels=false."
        )
    index_of = {name: index for index, name in enumerate(order)}
    values = {
        split: np.array([index_of[name] for name in names], np.int64)
        for split, names in classes.items()
    }
    return Labels("class", tuple(order)), values


def parse_json(text: bytes, file: str) -> dict[str, Any] | None:
    """Return the labels of a dataset.json of the StyleGAN tools, by path of the image.

    Args:
        text: {"labels": [[name, class number, class name or list of numbers], ...]}.
        file: name of the file, for errors.

    Returns:
        None if the file says that there are none.

    Raises:
        ConfigError: the file has another format, or names an image twice.
    """
    try:
        pairs = json.loads(text)["labels"]
        entries = [(str(name).replace("\\", "/"), label) for name, label in pairs or ()]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f'{file} cannot be read ({error}): it must be {{"labels": [[name, class number, '
            "class name or list of numbers], ...]}."
        ) from error
    labels = dict(entries)
    if len(labels) < len(entries):
        counts = Counter(name for name, _ in entries)
        repeated = [name for name, count in counts.items() if count > 1]
        raise ConfigError(
            f"{file} has more than one label for {join_limited(repeated)}: keep one of each."
        )
    return None if pairs is None else labels


def labels_of(names: Sequence[str], labels: dict[str, Any] | None, file: str) -> list[Any]:
    """Return the labels of images.

    Args:
        names: of the images.
        labels: from `parse_json`.
        file: name of the dataset.json, for errors.

    Returns:
        A class number, class name or list of numbers for each name, in their order.

    Raises:
        ConfigError: there are none, or an image has none.
    """
    if labels is None:
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
        raw: by split, from `labels_of`.
        names: of the images, by split.

    Returns:
        The labels, and the images' values by split.

    Raises:
        ConfigError: names the images whose labels are of another kind than the first image's.
    """
    first = raw["train"][0]
    if isinstance(first, str) and first:
        return _from_texts(raw, names)
    are_classes = type(first) is int
    length = len(first) if isinstance(first, list) else 0
    last_class = max((value for value in raw["train"] if type(value) is int), default=-1)

    def is_valid(value: Any) -> bool:
        if are_classes:
            return type(value) is int and 0 <= value <= min(last_class, MAX_CLASSES - 1)
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
            "and none that only test images have, or all be class names, or all be lists of "
            "equally many numbers. "
            f"Fix those of {join_limited(invalid)}."
        )
    if are_classes:
        labels = Labels("class", tuple(map(str, range(last_class + 1))))
        return labels, {split: np.array(values, np.int64) for split, values in raw.items()}
    vectors = {split: np.array(v, np.float32).reshape(-1, length) for split, v in raw.items()}
    binary = all(np.isin(array, (0, 1)).all() for array in vectors.values())
    return Labels("multi" if binary else "float", tuple(map(str, range(length)))), vectors


def _from_texts(
    raw: Mapping[str, Sequence[Any]], names: Mapping[str, Sequence[str]]
) -> tuple[Labels, dict[str, Values]]:
    """Return class labels from the class names of dataset.json."""
    invalid = [
        f"{name} ({json.dumps(value)[:40]})"
        for split in raw
        for name, value in zip(names[split], raw[split], strict=True)
        if not isinstance(value, str) or not value
    ]
    if invalid:
        raise ConfigError(
            "The labels in dataset.json must all be class names, as the first one is. "
            f"Fix those of {join_limited(invalid)}."
        )
    return _from_names(raw, 2, "give them classes that training images have")


def join_limited(names: Sequence[str], most: int = _MAX_LISTED) -> str:
    """Join the first `most` names for a message, such as "a, b and 7 more"."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _MAX_NUMBER  # False for NaN
