"""Which kind of data set a model takes, and the data section made to fit it.

A model class says `takes = "unpaired"` (two domains, "a" and "b") or "images" (single pictures), a
data class says `kind = ...`. A data YAML that serves both names a class for each kind:

    _target_: {unpaired: gantrain.data.folder.UnpairedFolder, images: gantrain...ImageFolder}
"""

from __future__ import annotations

from typing import Any

from gantrain.config import constructors
from gantrain.errors import ConfigError
from gantrain.targets import is_allowed

WORDS = {"unpaired": "pictures of two domains", "images": "single pictures"}
EXAMPLES = {"unpaired": "data=folder or data=shapes", "images": "data=folder, data=cifar10, ..."}

Section = dict[str, Any]


def match_data(model: Section, data: Section) -> tuple[Section, dict[str, str], list[str]]:
    """The data section for this model, the keys that it has no use for, and what is wrong.

    Returns:
        (section with one `_target_` and its own keys, {dropped key: why}, problems).
    """
    takes = class_attribute(model.get("_target_"), "takes") or "unpaired"
    return select_class(takes, str(model.get("_target_")).rpartition(".")[2], data)


def select_class(takes: str, name: str, data: Section) -> tuple[Section, dict[str, str], list[str]]:
    """`match_data` for a model called `name` that takes this kind."""
    target = data.get("_target_")
    if not isinstance(target, dict):
        kind = class_attribute(target, "kind")
        wrong = kind in WORDS and takes in WORDS and kind != takes
        cure = f"use {EXAMPLES[takes]}, or another model" if wrong else ""
        problem = (
            f"{str(target).rpartition('.')[2]} holds {WORDS[kind]}, and {name} trains on "
            f"{WORDS[takes]}: {cure}."
            if wrong and kind
            else ""
        )
        return data, {}, [problem] if problem else []
    if takes not in target:
        return data, {}, [f"This data set has nothing for {name}: use {EXAMPLES[takes]}."]
    own = {kind: _keys(path) for kind, path in target.items()}
    foreign = set().union(*own.values()) - own[takes]
    section = {key: value for key, value in data.items() if key not in foreign}
    why = f"{name} trains on {WORDS[takes]}"
    return {**section, "_target_": target[takes]}, dict.fromkeys(foreign, why), []


def class_attribute(target: Any, name: str) -> str | None:
    """The class attribute `name` of what a `_target_` names, read from its source."""
    if not isinstance(target, str) or not is_allowed(target):
        return None
    try:
        return constructors.class_constant(target, name)
    except ConfigError:  # reported where the section itself is checked
        return None


def _keys(target: Any) -> set[str]:
    try:
        return set(constructors.read_signature(target).parameters)
    except (ConfigError, AttributeError):
        return set()
