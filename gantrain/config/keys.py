"""What each key of a command may hold, whatever is chosen: annotations of all choices together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from gantrain import config
from gantrain.config import check, choices

PREPARED = ("prepare", "data")  # the other command with a section that names a class


def annotations_of_key(command: str, key: str, config_dir: str | None = None) -> list[Any]:
    """Return the annotations that a dotted key has in the choices that know it; []: none does.

    Args:
        command: the name of the command.
        key: the dotted key.
        config_dir: the user's own folder of YAML files, if any.
    """
    section, _, name = key.partition(".")
    if section in choices.BUILT and (command == "train" or (command, section) == PREPARED):
        found = [classes.get(name) for classes in choices.classes(section, config_dir).values()]
        return [annotation for annotation in found if annotation is not None]
    annotation = settings(command).get(key)
    return [] if annotation is None else [annotation]


@lru_cache
def settings(command: str) -> dict[str, Any]:
    """Return the annotation of every dotted key in the command's settings, sections excluded."""
    return dict(_fields(config.settings_class(command), ""))


def is_text(annotation: Any) -> bool:
    """Return whether a key holds one text (or null), and nothing else."""
    return kinds(annotation) == {str}


def is_list_of_texts(annotation: Any) -> bool:
    """Return whether a key holds a list of texts (or null), and nothing else."""
    return kinds(annotation) == {list[str]}


def kinds(annotation: Any) -> set[Any]:
    """Return the types of an annotation, without null."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    union = get_origin(annotation) in (Union, UnionType)
    members = set(get_args(annotation)) if union else {annotation}
    return members - {NoneType, None}


def _fields(kind: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field, hint in check.annotations_of(kind).items():
        key = f"{prefix}{field.rstrip('_')}"
        if hasattr(hint, "__dataclass_fields__"):
            yield from _fields(hint, f"{key}.")
        elif prefix or key not in choices.BUILT:
            yield key, hint
