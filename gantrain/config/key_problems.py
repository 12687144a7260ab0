"""Explain the keys on a command line that its config does not have."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.config import check, compose, data_kind, paths, suggestions, train
from gantrain.config.annotations import takes_schedule
from gantrain.config.keys import annotations_of_key
from gantrain.config.keys import settings as settings_of


def find_problems(
    cfg: DictConfig, source: compose.Loader, command: str, groups: list[str], keys: list[Override]
) -> list[tuple[str, str]]:
    """Return (override, what is wrong with it) for each override of a key that cannot be used.

    Args:
        cfg: the config without `keys`, with its hydra node.
        source: the loader that composed it.
        command: the gantrain command.
        groups: the choices of config groups, as typed.
        keys: the overrides of keys.
    """
    plain = plain_config(cfg)
    existing = dict.fromkeys(dotted(plain))
    known: dict[str, Any] = dict.fromkeys(existing, Any) | settings_of(command)
    for group in source.list_groups("") if command == "train" else ():
        options = tuple(source.get_group_options(group, ObjectType.CONFIG))
        known[group] = Literal[options] if options else Any
    known.pop("hydra", None)
    known |= _constructor_keys(command, plain)
    situation = _situation(source.chosen, plain, command, groups, keys)
    return [
        (str(key.input_line), sentence)
        for key in keys
        if (sentence := _key_problem(key, existing, known, situation))
    ]


def _constructor_keys(command: str, plain: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations of the keys in sections with a `_target_`, as the model takes them."""
    if command != "train" or not all(isinstance(plain.get(key), dict) for key in ("model", "data")):
        return {}
    data, _, _ = data_kind.match_data(plain["model"], plain["data"])
    known = train.known_keys({**plain, "data": data})
    return {key: annotation for key, annotation in known.items() if "." in key}


def _situation(
    chosen: dict[str, str],
    plain: dict[str, Any],
    command: str,
    groups: list[str],
    keys: list[Override],
) -> suggestions.Situation:
    typed = {key.key_or_group.rpartition(".")[2]: typed_value(key) for key in keys}
    current = {key: value for key, value in check.flatten(plain) if not key.endswith("_target_")}
    named = {text.partition("=")[0] for text in groups}
    recipe = named & {"experiment", "sweep"} and "experiment=quickstart" not in groups
    model = plain.get("model")
    target = model.get("_target_") if isinstance(model, dict) else None
    return suggestions.Situation(
        typed=typed,
        current=current.get,
        chosen=chosen,
        deliberate=frozenset(chosen if recipe else named),
        takes=data_kind.class_attribute(target, "takes") if command == "train" else None,
        elsewhere=lambda key: [
            name for name in paths.commands() if name != command and annotations_of_key(name, key)
        ],
    )


def _key_problem(
    override: Override,
    existing: Container[str],
    known: dict[str, Any],
    situation: suggestions.Situation,
) -> str | None:
    """Return a sentence about an override of a key, or None if it is fine.

    Args:
        override: the parsed override.
        existing: the dotted keys of the composed config.
        known: the annotations of `existing` and of the keys that +key=value may add.
        situation: the rest of the command line.
    """
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] == "hydra" or override.is_force_add():
        return None
    if override.is_delete():
        return None if key in existing else f"~{key}: there is no {key} to remove."
    value = typed_value(override)
    if override.is_add():
        if key not in existing:
            return None
        return f"+{key}: {key} already exists: write {key}={value} without the +."
    if key in existing:
        return None
    if key in known and "." in key:
        return f"{key} is not in the YAML, so its default applies: write +{key}={value} to set it."
    schedule, _, entry = key.rpartition(".")
    if entry in ("base", "final", "kimg", "shape") and takes_schedule(known.get(schedule, Any)):
        return (
            f"{key}: {schedule} is not a ramp here. Make it one: "
            f"'{schedule}={{base:...,final:...,kimg:null,shape:cosine}}'."
        )
    return suggestions.unknown_key(key, _plain_value(override), known, situation)


def _plain_value(override: Override) -> Any:
    """Return the value as Hydra reads it; of a sweep, and of an interpolation, the text."""
    if override.is_sweep_override() or "${" in typed_value(override):
        return typed_value(override)
    try:
        value = override.value()
        if isinstance(value, QuotedString):
            return value.text
        return OmegaConf.to_container(OmegaConf.create({"value": value}))["value"]  # type: ignore[index]
    except (HydraException, OmegaConfBaseException, ValueError):
        return typed_value(override)


def plain_config(cfg: DictConfig) -> dict[str, Any]:
    """Return the config without the hydra node, with its interpolations as they are written."""
    plain = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def dotted(node: dict[Any, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of nested values, sections included."""
    keys = []
    for key, value in node.items():
        keys.append(f"{prefix}{key}")
        keys += dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else []
    return keys


def typed_value(override: Override) -> str:
    """Return the value as typed."""
    return str(override.input_line).partition("=")[2]
