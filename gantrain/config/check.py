"""Check plain values against annotations and turn them into typed settings: one loader for all.

Settings are a frozen dataclass whose annotations say what each key may hold (`Range`, `Literal`,
sections as nested dataclasses). Its optional method `problems` holds rules across keys and about
the machine; it runs once every key has passed on its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from gantrain.config import constructors, paths, suggestions
from gantrain.config.addresses import address_problems
from gantrain.config.annotations import explain_mismatch
from gantrain.config.choices import BUILT, configured
from gantrain.errors import ConfigError, format_value
from gantrain.targets import OWN, advice, is_allowed

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")
RUN_FOLDERS = ("runs", "sweeps")  # where the names of runs and sweeps are looked up


def load_settings(kind: type[T], cfg: DictConfig) -> T:
    """Return the composed config as an instance of `kind`.

    Args:
        kind: a frozen dataclass; a field `class_` is the key `class`. It may define `problems()`,
            which returns sentences about combinations; `value_problems(plain)`, sentences about
            single values that no annotation can express; and `missing(key)`, the sentence about a
            key without a value.
        cfg: the composed config, without the `hydra` node.

    Raises:
        ConfigError: lists every problem found.
    """
    plain = as_texts(kind, to_plain(cfg))
    if isinstance(run := plain.get("run"), str):
        plain["run"] = paths.find_run(run)
    elif isinstance(run, list):
        plain["run"] = [paths.find_run(one) if isinstance(one, str) else one for one in run]
    if isinstance(runs := plain.get("runs"), list):
        plain["runs"] = [
            paths.find_run(run, RUN_FOLDERS) if isinstance(run, str) else run for run in runs
        ]
    problems = [*missing_values(plain, explain=getattr(kind, "missing", None))]
    problems += check_fields(kind, plain)
    problems += address_problems(plain)
    problems += getattr(kind, "value_problems", lambda _: ())(plain)
    if problems:
        raise ConfigError(*problems)
    settings = typed(kind, plain)
    if problems := [*getattr(settings, "problems", tuple)()]:
        raise ConfigError(*problems)
    return settings


def plain_settings(settings: Any) -> dict[str, Any]:
    """Return settings as nested plain values under their config keys (`class`, not `class_`)."""
    return {key.rstrip("_"): value for key, value in dataclasses.asdict(settings).items()}


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of nested settings; a section without keys yields nothing.

    Args:
        node: nested dicts, or a single value.
        prefix: the dotted key of `node` itself; "": it is the whole config.
    """
    if not isinstance(node, dict):
        yield prefix, node
        return
    for key, value in node.items():
        yield from flatten(value, f"{prefix}.{key}" if prefix else key)


def typed(kind: type[T], plain: dict[str, Any]) -> T:
    """Turn checked plain values into an instance of `kind`, including sections and floats.

    Args:
        kind: a dataclass; a field with a trailing underscore is the key without it.
        plain: values by key, sections as dicts. Missing keys keep their defaults.
    """
    values: dict[str, Any] = {}
    for field, hint in get_type_hints(kind).items():
        if (key := field.rstrip("_")) not in plain:
            continue
        value = plain[key]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            value = typed(hint, value)
        elif type(value) is int and float in (hint, *get_args(hint)):
            value = value if int in get_args(hint) else float(value)
        values[field] = value
    return kind(**values)


def as_texts(kind: type, plain: dict[str, Any]) -> dict[str, Any]:
    """Convert values that YAML read as another type: name=7 to "7", and a single item to a list.

    Args:
        kind: the dataclass whose annotations say what is text.
        plain: values by key; not changed.
    """
    converted = dict(plain)
    for field, hint in get_type_hints(kind).items():
        key = field.rstrip("_")
        kinds = {*get_args(hint)} - {NoneType} if isinstance(hint, UnionType) else {hint}
        value = plain.get(key)
        single = isinstance(value, str | int | float) and not isinstance(value, bool)
        if value == "???":
            continue
        if kinds == {str} and single:
            converted[key] = str(value)
        elif kinds == {list[str]} and single:
            converted[key] = [str(value)]
        elif kinds == {list[str]} and isinstance(value, list):
            converted[key] = [str(x) if isinstance(x, int | float) else x for x in value]
    return converted


def check_fields(kind: type, plain: dict[str, Any]) -> Iterator[str]:
    """Yield one sentence for each key of `plain` that does not fit the dataclass `kind`.

    Args:
        kind: a dataclass; fields that are dataclasses are sections.
        plain: values by key, sections as dicts.
    """
    top = {field.rstrip("_"): hint for field, hint in annotations_of(kind).items()}
    sections = {
        key: annotations_of(hint) for key, hint in top.items() if dataclasses.is_dataclass(hint)
    }
    known = top | {f"{name}.{key}": keys[key] for name, keys in sections.items() for key in keys}
    yield from check_section("", plain, top, set(top), known)
    for name, fields in sections.items():
        if isinstance(section := plain.get(name), dict):
            yield from check_section(f"{name}.", section, fields, set(fields), known)


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the config as dicts and lists with all interpolations resolved.

    Raises:
        ConfigError: an interpolation cannot be resolved.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{where}{str(error).splitlines()[0]}.") from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def missing_values(
    node: Any, prefix: str = "", explain: Callable[[str], str | None] | None = None
) -> Iterator[str]:
    """Yield a sentence for each key whose value is still ???.

    Args:
        node: plain values; anything but a dict has no keys.
        prefix: prepended to the keys in sentences, such as "train.".
        explain: may return a more specific sentence for a dotted key.
    """
    for key, value in node.items() if isinstance(node, dict) else ():
        if value == "???":
            specific = explain(f"{prefix}{key}") if explain else None
            yield specific or f"{prefix}{key} has no value: add {prefix}{key}=... to the command."
        yield from missing_values(value, f"{prefix}{key}.", explain)


def annotations_of(kind: Any) -> dict[str, Any]:
    """Return the annotations of a section by field name, including bounds."""
    hints = get_type_hints(kind, include_extras=True)
    hints.pop("warnings", None)
    return hints


def check_section(
    prefix: str,
    section: dict[str, Any],
    fields: dict[str, Any],
    required: set[str],
    known: dict[str, Any],
    situation: suggestions.Situation = suggestions.NOTHING_KNOWN,
) -> Iterator[str]:
    """Yield one sentence for each key of a section that is missing, unknown or does not fit.

    Args:
        prefix: prepended to the keys in sentences, such as "train.".
        section: the plain values.
        fields: the annotation of each key.
        required: keys that must be present.
        known: the annotations of all dotted keys of the config, to suggest from.
        situation: what else is known to whoever suggests.
    """
    for key in sorted(required - section.keys()):
        yield f"{prefix}{key} is missing: add {prefix}{key}=... to the command."
    for key, value in section.items():
        if key not in fields:
            yield suggestions.unknown_key(f"{prefix}{key}", value, known, situation)
        elif dataclasses.is_dataclass(fields[key]) or (not prefix and key in BUILT):
            if not isinstance(value, dict):
                yield _not_a_section(key, value, known)
        elif value != "???" and (problem := explain_mismatch(f"{prefix}{key}", value, fields[key])):
            yield problem


def _not_a_section(key: str, value: Any, known: dict[str, Any]) -> str:
    meant = suggestions.ALIASES.get(key)
    inside = [name for name in known if name.startswith(f"{key}.")]
    meant = meant if meant in known and suggestions.fits(value, known[meant]) else None
    hint = f"Did you mean {meant}={format_value(value)}?" if meant else ""
    return (
        f"{key}={format_value(value)}: {key} is a section. {hint or 'Keys: ' + ', '.join(inside)}"
    )


def constructor_annotations(name: str, section: dict[str, Any]) -> dict[str, Any] | None:
    """Return the annotations of a section's constructor arguments, or None if it takes any.

    Args:
        name: the section's name: model, data or optimizer.
        section: its plain values, including `_target_`.
    """
    target = section.get("_target_")
    if not isinstance(target, str) or not is_allowed(target):
        return {}
    try:
        signature = constructors.read_signature(target)
    except ConfigError:
        return {}
    if signature.open:
        return None
    return {
        key: configured(name, key, p.annotation)
        for key, p in signature.parameters.items()
        if key not in BUILT[name]
    }


def check_target(
    name: str, section: dict[str, Any], known: dict[str, Any], takes: str | None = None
) -> Iterator[str]:
    """Yield the problems of a section whose `_target_` names a constructor.

    Args:
        name: the section's name: model, data or optimizer.
        section: its plain values.
        known: the annotations of all dotted keys of the config, to suggest from.
        takes: the kind of images that the model takes, if known.
    """
    target = section.get("_target_")
    if not isinstance(target, str) or not is_allowed(target):
        yield (
            f"{name}._target_={format_value(target)} is not allowed: it must begin with "
            f"{', '.join(OWN)} or a package named in the environment variable GANTRAIN_PLUGINS."
            f"{advice(target) if isinstance(target, str) else ''}"
        )
        return
    try:
        signature = constructors.read_signature(target)
    except ConfigError as error:
        yield f"{name}.{error}"
        return
    missing = [key for key in BUILT[name] if key not in signature.parameters]
    if missing and not signature.open:
        yield (
            f"{name}._target_={target} cannot be the {name} of a run: its constructor takes no "
            f"{missing[0]}."
        )
        return
    parameters = {key: p for key, p in signature.parameters.items() if key not in BUILT[name]}
    fields = {key: configured(name, key, p.annotation) for key, p in parameters.items()}
    values = {key: value for key, value in section.items() if key != "_target_"}
    if signature.open:
        fields = {**dict.fromkeys(values, Any), **fields}
    required = {key for key, parameter in parameters.items() if parameter.required}
    situation = suggestions.Situation(takes=takes, deliberate=frozenset(BUILT))
    yield from check_section(f"{name}.", values, fields, required, known, situation)
    yield from _nested_targets(f"{name}.", values)


def _nested_targets(prefix: str, node: Any) -> Iterator[str]:
    """Yield a sentence for each nested `_target_` that gantrain.build would refuse later."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list)):
            yield from _nested_targets(f"{prefix}{key}.", value)
        elif key == "_target_" and not (isinstance(value, str) and is_allowed(value)):
            yield f"{prefix}_target_={format_value(value)} is not allowed (see GANTRAIN_PLUGINS)."
