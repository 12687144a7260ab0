"""Match the data section of a config to the kind of data set that the model takes.

A model class has `takes = "unpaired"` (two domains, "a" and "b"), `"paired"` (a and b are pairs) or
`"images"` (single images); a data class has `kind = ...`. Pairs also serve a model that needs none,
unless the data class has `needs_pairs = True`: its domains are parts of one picture.
A data YAML that serves several kinds names a class for each:

    _target_: {unpaired: gantrain.data.folder.UnpairedFolder, images: gantrain...ImageFolder}
"""

from __future__ import annotations

from typing import Any

from gantrain.config import constructors
from gantrain.errors import ConfigError
from gantrain.targets import is_allowed

WORDS = {
    "unpaired": "images of two domains",
    "paired": "pairs of images",
    "images": "single images",
}
EXAMPLES = {
    "unpaired": "data=folder or data=shapes",
    "paired": "data=paired or data=shapes",
    "images": "data=folder, data=cifar10, ...",
}

Section = dict[str, Any]


def match_data(model: Section, data: Section) -> tuple[Section, dict[str, str], list[str]]:
    """Reduce a data section to the class and the keys that fit the model.

    Args:
        model: the model section, including `_target_`.
        data: the data section; its `_target_` may be a class or {kind: class}.

    Returns:
        (section with one `_target_` and its keys, {dropped key: why}, problems as sentences).
    """
    target = str(model.get("_target_"))
    takes = class_attribute(target, "takes") or "unpaired"
    section, dropped, problems = select_class(takes, target.rpartition(".")[2], data)
    # Of a class that may not be named nothing is known, and that is told elsewhere.
    return section, dropped, problems if is_allowed(target) else []


def select_class(takes: str, name: str, data: Section) -> tuple[Section, dict[str, str], list[str]]:
    """Do `match_data` for a model called `name` that takes the kind `takes`.

    Args:
        takes: "unpaired", "paired" or "images".
        name: of the model's class, for sentences.
        data: see `match_data`.

    Returns:
        See `match_data`.
    """
    target = data.get("_target_")
    if not isinstance(target, dict):
        kind = class_attribute(target, "kind")
        is_whole = class_attribute(target, "needs_pairs") == "True"
        fits = kind == takes or ((kind, takes) == ("paired", "unpaired") and not is_whole)
        if kind is None or kind not in WORDS or takes not in WORDS or fits:
            return data, {}, []
        fix = "model=pix2pix" if is_whole else "another model"
        problem = (
            f"{str(target).rpartition('.')[2]} holds {WORDS[kind]}, but {name} trains on "
            f"{WORDS[takes]}: use {EXAMPLES[takes]}, or {fix}."
        )
        return data, {}, [problem]
    if takes not in target:
        return data, {}, [f"This data set has no images for {name}: use {EXAMPLES[takes]}."]
    keys = {kind: _keys(path) for kind, path in target.items()}
    unused = set().union(*keys.values()) - keys[takes]
    section = {key: value for key, value in data.items() if key not in unused}
    why = f"{name} trains on {WORDS[takes]}"
    return {**section, "_target_": target[takes]}, dict.fromkeys(unused, why), []


def keep_reading(section: Section, recorded: Section) -> Section:
    """Return a data section with the rules by which an existing run finds and orders its files.

    Args:
        section: of the current config.
        recorded: config.yaml of the run; one without a version was made before version 2.
    """
    target = str(section.get("_target_"))
    if not target.startswith("gantrain.data.") or "reading" not in _keys(target):
        return section
    described = (recorded.get("derived") or {}).get("data") or {}
    reading = described.get("reading", 1)
    newest = constructors.read_signature(target).parameters["reading"].default
    return section if reading == newest else {**section, "reading": reading}


def class_attribute(target: Any, name: str) -> str | None:
    """Return the class attribute `name` of the class a `_target_` names, read from its source.

    Args:
        target: a `_target_`, of any type.
        name: of a constant in the body of the class.

    Returns:
        None if the class cannot be read or has no such constant.
    """
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
