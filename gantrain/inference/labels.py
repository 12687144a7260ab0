"""What a generator is told to show: class numbers, class names and label vectors as tensors."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gantrain.errors import ConfigError, format_value, nearest

Label: TypeAlias = int | float | str | Sequence[float] | Sequence[str]


def label_vector(label: Label, dim: int, about: dict[str, Any] | None) -> Tensor:
    """float32 [dim] for a class number, a name (or several, for multi-labels) or `dim` numbers.

    Args:
        about: the data set's description of its labels ({"kind": "class" | "multi" | "float",
            "names": [...]}), None when the snapshot has none: then there are no names.

    Raises:
        ConfigError: no such class, or a vector of another length.
    """
    about = about or {}
    names = [str(name) for name in about.get("names") or ()]
    items = [label] if isinstance(label, int | float | str) else list(label)
    vector = torch.zeros(dim)
    if items and all(isinstance(item, str) for item in items):
        if len(items) > 1 and about.get("kind") != "multi":
            raise ConfigError(
                f"class={format_value(items)}: a picture of this snapshot has one class."
            )
        vector[[_place(str(item), names, dim) for item in items]] = 1
    elif len(items) == dim and (about.get("kind") == "float" or not isinstance(label, int | float)):
        vector[:] = torch.tensor([float(item) for item in items])
    elif isinstance(label, int) and about.get("kind") != "float":
        vector[_place(str(label), names, dim)] = 1
    else:
        raise ConfigError(
            f"class={format_value(label)} does not fit: {_wanted(dim, about, names)}."
        )
    return vector


def cycled(seeds: Sequence[int], dim: int, about: dict[str, Any] | None) -> Tensor:
    """float32 [N, dim], one-hot: seed s shows class s modulo dim.

    Raises ConfigError for labels that are numbers rather than classes.
    """
    if (about or {}).get("kind") == "float":
        raise ConfigError(f"This snapshot needs class=: {_wanted(dim, about or {}, [])}.")
    labels = torch.zeros(len(seeds), dim)
    labels[torch.arange(len(seeds)), torch.tensor([seed % dim for seed in seeds])] = 1
    return labels


def _place(item: str, names: list[str], dim: int) -> int:
    """Index of a class name or number; a name that looks like a number goes before the number."""
    if item in names:
        return names.index(item)
    if item.isdecimal() and int(item) < dim:
        return int(item)
    close = nearest(item, names)
    hint = f"Did you mean class={close}? " if close else ""
    listed = ", ".join(names[:20]) + ", ..." * (len(names) > 20)
    choices = f"Classes: {listed}." if names else f"Classes: 0 to {dim - 1}."
    raise ConfigError(f"class={item} is not a class of this snapshot. {hint}{choices}")


def _wanted(dim: int, about: dict[str, Any], names: list[str]) -> str:
    vector = f"a list of {dim} numbers"
    if about.get("kind") == "float":
        return f"give {vector}, the label"
    more = ", or a list of names" if about.get("kind") == "multi" and names else ""
    named = ", its name" if names else ""
    return f"give a class number from 0 to {dim - 1}{named}{more}, or {vector}"
