"""Class numbers, class names and label vectors as tensors for a generator."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gantrain.errors import ConfigError, format_value, nearest

Label: TypeAlias = int | float | str | Sequence[float] | Sequence[str]


def label_vector(label: Label, dim: int, about: dict[str, Any] | None) -> Tensor:
    """Return the label as a vector, float32 [dim].

    Args:
        label: a class number, a class name (or several, for multi-labels), or `dim` numbers.
        dim: entries of a label.
        about: the data set's description of its labels ({"kind": "class" | "multi" | "float",
            "names": [...]}); None: unknown, so there are no names.

    Raises:
        ConfigError: there is no such class, or the vector has another length.
    """
    about = about or {}
    names = [str(name) for name in about.get("names") or ()]
    items = [label] if isinstance(label, int | float | str) else list(label)
    vector = torch.zeros(dim)
    if items and all(isinstance(item, str) for item in items):
        if len(items) > 1 and about.get("kind") != "multi":
            raise ConfigError(
                f"class={format_value(items)}: an image of this snapshot has only one class."
            )
        vector[[_class_index(str(item), names, dim) for item in items]] = 1
    elif len(items) == dim and (about.get("kind") == "float" or not isinstance(label, int | float)):
        vector[:] = torch.tensor([float(item) for item in items])
    elif isinstance(label, int) and about.get("kind") != "float":
        vector[_class_index(str(label), names, dim)] = 1
    else:
        raise ConfigError(
            f"class={format_value(label)} does not fit: {_advice(dim, about, names)}."
        )
    return vector


def has_examples(about: dict[str, Any] | None) -> bool:
    """Return whether seeds without a label take those of training images."""
    return bool((about or {}).get("examples"))


def cycle_classes(seeds: Sequence[int], dim: int, about: dict[str, Any] | None) -> Tensor:
    """Return labels for seeds.

    Seed s has the class s modulo `dim`. Where an image may have several classes, or has numbers, it
    has the example s modulo their number of the labels of training images.

    Args:
        seeds: N seeds.
        dim: number of classes.
        about: see `label_vector`; "examples": labels of training images, which snapshots of earlier
            versions lack.

    Returns:
        float32 [N, dim].

    Raises:
        ConfigError: labels are numbers, not classes, and there are no examples.
    """
    examples = (about or {}).get("examples")
    if examples:
        return torch.tensor([examples[seed % len(examples)] for seed in seeds], dtype=torch.float32)
    if (about or {}).get("kind") == "float":
        raise ConfigError(f"This snapshot needs class=: {_advice(dim, about or {}, [])}.")
    labels = torch.zeros(len(seeds), dim)
    labels[torch.arange(len(seeds)), torch.tensor([seed % dim for seed in seeds])] = 1
    return labels


def label_text(vector: Tensor, about: dict[str, Any] | None) -> str:
    """Return a label in words: names of its classes, or numbers.

    Args:
        vector: [dim].
        about: see `label_vector`.
    """
    about, entries = about or {}, vector.tolist()
    names = [str(name) for name in about.get("names") or range(len(entries))]
    is_binary = all(entry in (0, 1) for entry in entries)
    if about.get("kind") == "float" or not is_binary or len(names) != len(entries):
        return ", ".join(f"{entry:.6g}" for entry in entries)
    chosen = [name for name, entry in zip(names, entries, strict=True) if entry]
    return ", ".join(chosen) or "no class"


def _class_index(item: str, names: list[str], dim: int) -> int:
    """Return the index of a class name or number; if any name is a number, numbers are names."""
    if item in names:
        return names.index(item)
    if item.isdecimal() and int(item) < dim and not any(name.isdecimal() for name in names):
        return int(item)
    close = None if item.isdecimal() else nearest(item, names)
    hint = f"Did you mean class={close}? " if close else ""
    first_names = ", ".join(names[:20]) + ", ..." * (len(names) > 20)
    choices = f"Classes: {first_names}." if names else f"Classes: 0 to {dim - 1}."
    raise ConfigError(f"class={item} is not a class of this snapshot. {hint}{choices}")


def _advice(dim: int, about: dict[str, Any], names: list[str]) -> str:
    vector = f"a list of {dim} numbers"
    if about.get("kind") == "float":
        return f"give {vector}, the label"
    by_names = ", or a list of names" if about.get("kind") == "multi" and names else ""
    if any(name.isdecimal() for name in names) and names != [str(i) for i in range(dim)]:
        return f"give a class by its name{by_names}, or {vector}"
    by_name = ", its name" if names else ""
    return f"give a class number from 0 to {dim - 1}{by_name}{by_names}, or {vector}"
