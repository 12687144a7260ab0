"""Labels of pictures: classes, several at once, or numbers; as float32 vectors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gantrain.errors import ConfigError

Kind = Literal["class", "multi", "float"]
_SHOWN = 10  # offenders named in a message


@dataclass(frozen=True)
class Labels:
    """class: one-hot vectors; multi: zeros and ones; float: any numbers. `names`: one an entry."""

    kind: Kind
    names: tuple[str, ...]

    @property
    def dim(self) -> int:
        return len(self.names)

    def describe(self) -> dict[str, object]:
        """Plain values for snapshots."""
        return {"dim": self.dim, "kind": self.kind, "names": list(self.names)}


def one_hot(numbers: Sequence[int] | np.ndarray, dim: int) -> np.ndarray:
    """float32 [N, dim] of class numbers 0 .. dim - 1."""
    return np.eye(dim, dtype=np.float32)[np.asarray(numbers, int)]


def from_folders(names: list[str], where: str) -> tuple[Labels, np.ndarray]:
    """The first folder of every name is its class. Raises ConfigError naming files in none."""
    loose = [name for name in names if "/" not in name]
    if loose:
        raise ConfigError(
            f"data.labels=true, but {where} has no dataset.json, and these pictures are in no "
            f"sub-folder that could name their class: {_some(loose)}. Move them, or set "
            "data.labels=false."
        )
    folders = [name.split("/")[0] for name in names]
    classes = sorted(set(folders))
    numbers = [classes.index(folder) for folder in folders]
    return Labels("class", tuple(classes)), one_hot(numbers, len(classes))


def from_json(text: bytes, names: list[str], where: str) -> tuple[Labels, np.ndarray]:
    """dataset.json of the StyleGAN tools: {"labels": [[name, number or list], ...]}.

    Raises ConfigError: unreadable, pictures without a label, labels of different kinds.
    """
    try:
        pairs = json.loads(text)["labels"]
        found: dict[str, Any] = {} if pairs is None else {str(name): label for name, label in pairs}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{where}/dataset.json cannot be read ({error}): it must be {{"labels": [[name, class '
            "or list of numbers], ...]}."
        ) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(
            f"data.labels=true, but {where}/dataset.json has no label for {_some(missing)}: add "
            "them, or set data.labels=false."
        )
    return _vectors([found[name] for name in names], where)


def _vectors(values: list[Any], where: str) -> tuple[Labels, np.ndarray]:
    if all(type(value) is int and value >= 0 for value in values):
        dim = max(values) + 1
        return Labels("class", tuple(map(str, range(dim)))), one_hot(values, dim)
    try:
        array = np.asarray(values, np.float32)
    except (ValueError, TypeError):
        array = np.empty(0)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ConfigError(
            f"The labels in {where}/dataset.json must all be class numbers from 0 on, or all be "
            "lists of equally many numbers."
        )
    kind: Kind = "multi" if np.isin(array, (0, 1)).all() else "float"
    return Labels(kind, tuple(map(str, range(len(array[0]))))), array


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
