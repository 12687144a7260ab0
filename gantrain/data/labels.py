"""Labels of pictures: classes, several at once, or numbers; as float32 vectors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gantrain.errors import ConfigError

Kind = Literal["class", "multi", "float"]
Values = np.ndarray  # of N pictures: class numbers, int64 [N], or vectors, float32 [N, dim]

_SHOWN = 10  # offenders named in a message
_MOST = 100_000  # classes
_LARGEST = 1e38  # float32 holds a little more


@dataclass(frozen=True)
class Labels:
    """class: one-hot vectors; multi: zeros and ones; float: any numbers. `names`: one an entry."""

    kind: Kind
    names: tuple[str, ...]

    @property
    def dim(self) -> int:
        return len(self.names)

    def vector(self, value: np.ndarray) -> np.ndarray:
        """float32 [dim] of one picture's entry in Values."""
        if self.kind != "class":
            return value
        vector = np.zeros(self.dim, np.float32)
        vector[int(value)] = 1
        return vector

    def describe(self) -> dict[str, object]:
        """Plain values for snapshots."""
        return {"dim": self.dim, "kind": self.kind, "names": list(self.names)}


def from_folders(names: Mapping[str, Sequence[str]]) -> tuple[Labels, dict[str, Values]]:
    """The first folder of every name is its class; names are given, and values found, by split.

    Raises ConfigError: pictures in no folder, test pictures of a class that "train" lacks.
    """
    loose = [name for split in names.values() for name in split if "/" not in name]
    if loose:
        raise ConfigError(
            "data.labels=true, but there is no dataset.json, and these pictures are in no "
            f"sub-folder that could name their class: {join_limited(loose)}. Move them, or set "
            "data.labels=false."
        )
    folders = {split: [name.split("/")[0] for name in found] for split, found in names.items()}
    classes = sorted(set(folders["train"]))
    if new := sorted(set().union(*folders.values()) - set(classes)):
        raise ConfigError(
            f"The test pictures' classes {join_limited(new)} have no training pictures: rename "
            "these "
            "folders to the same names as in train/, or set data.labels=false."
        )
    number = {name: index for index, name in enumerate(classes)}
    values = {
        split: np.array([number[folder] for folder in found], np.int64)
        for split, found in folders.items()
    }
    return Labels("class", tuple(classes)), values


def read_json(text: bytes, names: Sequence[str], file: str) -> list[Any]:
    """What a dataset.json of the StyleGAN tools says of `names`, in their order.

    Its form is {"labels": [[name, class number or list of numbers], ...]}. Raises ConfigError when
    it is another, or lacks a name.
    """
    try:
        pairs = json.loads(text)["labels"]
        found = {str(name).replace("\\", "/"): label for name, label in pairs or ()}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{file} cannot be read ({error}): it must be {{"labels": [[name, class number or '
            "list of numbers], ...]}."
        ) from error
    if pairs is None:
        raise ConfigError(
            f'data.labels=true, but {file} says that there are none ("labels": null): write them '
            "there, or set data.labels=false."
        )
    if missing := [name for name in names if name not in found]:
        raise ConfigError(
            f"data.labels=true, but {file} has no label for {join_limited(missing)}: add them, "
            "or set "
            "data.labels=false."
        )
    return [found[name] for name in names]


def from_values(
    raw: Mapping[str, Sequence[Any]], names: Mapping[str, Sequence[str]]
) -> tuple[Labels, dict[str, Values]]:
    """Labels from what `read_json` found, by split; "train" decides what they are.

    Raises ConfigError naming the pictures whose labels are of another kind than the first one's.
    """
    first = raw["train"][0]
    classes = type(first) is int
    length = len(first) if isinstance(first, list) else 0
    top = max((value for value in raw["train"] if type(value) is int), default=-1)

    def fits(value: Any) -> bool:
        if classes:
            return type(value) is int and 0 <= value <= min(top, _MOST - 1)
        return isinstance(value, list) and len(value) == length > 0 and all(map(_is_number, value))

    odd = [
        f"{name} ({json.dumps(value)[:40]})"
        for split in raw
        for name, value in zip(names[split], raw[split], strict=True)
        if not fits(value)
    ]
    if odd:
        raise ConfigError(
            "The labels in dataset.json must all be class numbers from 0 on, without large gaps "
            "and none that only test pictures have, or all be lists of equally many numbers. "
            f"Mend those of {join_limited(odd)}."
        )
    if classes:
        labels = Labels("class", tuple(map(str, range(top + 1))))
        return labels, {split: np.array(values, np.int64) for split, values in raw.items()}
    vectors = {split: np.array(v, np.float32).reshape(-1, length) for split, v in raw.items()}
    binary = all(np.isin(array, (0, 1)).all() for array in vectors.values())
    return Labels("multi" if binary else "float", tuple(map(str, range(length)))), vectors


def join_limited(names: Sequence[str]) -> str:
    """The first of `names` for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST  # NaN is not, either
