"""Check plain values against annotations, and turn them into typed settings: one loader for all.

Settings are a frozen dataclass whose annotations say what each key may hold (`Range`, `Literal`,
sections as dataclasses of their own). Its method `problems`, if it has one, is the place for rules
across keys and about the machine; it runs once every key has passed on its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from gantrain.config import constructors, suggestions
from gantrain.config.annotations import explain_mismatch
from gantrain.errors import ConfigError, format_value
from gantrain.targets import is_allowed
from gantrain.types import Range

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")
Positive = Annotated[float, Range(0, open_low=True)]
NotNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(0)]
AtLeastOne = Annotated[int, Range(1)]
BUILT = {"model": ("images",), "data": ("seed",), "optimizer": ("params",)}  # filled in by build
BETWEEN_0_AND_1 = Range(0, 1, open_high=True)
BOUNDS: dict[str, dict[str, Range]] = {  # for constructors that annotate types without bounds
    "optimizer": {
        **dict.fromkeys(("lr", "eps"), Range(0, open_low=True)),
        **dict.fromkeys(("weight_decay", "lr_decay", "initial_accumulator_value"), Range(0)),
        **dict.fromkeys(("betas", "momentum", "rho"), BETWEEN_0_AND_1),
    },
    "data": {
        **dict.fromkeys(("resolution", "load_size", "max_images", "train_images"), Range(1)),
        **dict.fromkeys(("cache_gb", "test_images", "held_out"), Range(0)),
    },
}


def load_settings(kind: type[T], cfg: DictConfig) -> T:
    """Return the composed config as an instance of `kind`.

    Args:
        kind: a frozen dataclass; a field `class_` is the key `class`. It may have `problems()`,
            sentences about combinations; `value_problems(plain)`, sentences about single values
            that annotations cannot tell; `missing(key)`, one for a key without a value.

    Raises:
        ConfigError: with every problem found.
    """
    plain = as_texts(kind, to_plain(cfg))
    problems = [*missing_values(plain, say=getattr(kind, "missing", None))]
    problems += check_fields(kind, plain)
    problems += getattr(kind, "value_problems", lambda _: ())(plain)
    if problems:
        raise ConfigError(*problems)
    settings = typed(kind, plain)
    if problems := [*getattr(settings, "problems", tuple)()]:
        raise ConfigError(*problems)
    return settings


def plain_settings(settings: Any) -> dict[str, Any]:
    """Return settings as they are typed: nested plain values, `class_` under the name `class`."""
    return {key.rstrip("_"): value for key, value in dataclasses.asdict(settings).items()}


def typed(kind: type[T], plain: dict[str, Any]) -> T:
    """Make checked plain values an instance of `kind`, sections and floats included."""
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
    """Make numbers texts where only a text can be meant (name=7), single items lists."""
    found = dict(plain)
    for field, hint in get_type_hints(kind).items():
        key = field.rstrip("_")
        kinds = {*get_args(hint)} - {NoneType} if isinstance(hint, UnionType) else {hint}
        value = plain.get(key)
        single = isinstance(value, str | int | float) and not isinstance(value, bool)
        if value == "???":
            continue
        if kinds == {str} and single:
            found[key] = str(value)
        elif kinds == {list[str]} and single:
            found[key] = [str(value)]
        elif kinds == {list[str]} and isinstance(value, list):
            found[key] = [str(x) if isinstance(x, int | float) else x for x in value]
    return found


def check_fields(kind: type, plain: dict[str, Any]) -> Iterator[str]:
    """Yield one sentence for each key of `plain` that does not fit the dataclass `kind`."""
    top = {field.rstrip("_"): hint for field, hint in annotations_of(kind).items()}
    inside = {k: annotations_of(hint) for k, hint in top.items() if dataclasses.is_dataclass(hint)}
    known = [*top, *(f"{name}.{key}" for name, keys in inside.items() for key in keys)]
    yield from check_section("", plain, top, set(top), known)
    for name, fields in inside.items():
        if isinstance(section := plain.get(name), dict):
            yield from check_section(f"{name}.", section, fields, set(fields), known)


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the config as dicts and lists, interpolations resolved. Raises ConfigError."""
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
    node: Any, prefix: str = "", say: Callable[[str], str | None] | None = None
) -> Iterator[str]:
    """Yield a sentence for each key whose value is still ???; `say` may know a better one."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if value == "???":
            known = say(f"{prefix}{key}") if say else None
            yield known or f"{prefix}{key} has no value: add {prefix}{key}=... to the command."
        yield from missing_values(value, f"{prefix}{key}.", say)


def annotations_of(kind: Any) -> dict[str, Any]:
    """Annotations of a section, bounds included."""
    hints = get_type_hints(kind, include_extras=True)
    hints.pop("warnings", None)
    return hints


def check_section(
    prefix: str,
    section: dict[str, Any],
    fields: dict[str, Any],
    required: set[str],
    known: list[str],
) -> Iterator[str]:
    """Yield one sentence for each key of a section that is missing, unknown or does not fit.

    Args:
        prefix: before the keys in sentences, such as "train.".
        fields: the annotation of each key.
        required: keys that must be there.
        known: all dotted keys of the config, for near misses.
    """
    for key in sorted(required - section.keys()):
        yield f"{prefix}{key} is missing: add {prefix}{key}=... to the command."
    for key, value in section.items():
        if key not in fields:
            yield suggestions.unknown_key(f"{prefix}{key}", value, known)
        elif dataclasses.is_dataclass(fields[key]) or (not prefix and key in BUILT):
            if not isinstance(value, dict):
                yield _not_a_section(key, value, known)
        elif value != "???" and (problem := explain_mismatch(f"{prefix}{key}", value, fields[key])):
            yield problem


def _not_a_section(key: str, value: Any, known: list[str]) -> str:
    meant = suggestions.ALIASES.get(key)
    inside = [name for name in known if name.startswith(f"{key}.")]
    hint = f"Did you mean {meant}={format_value(value)}?" if meant in known else ""
    return (
        f"{key}={format_value(value)}: {key} is a section. {hint or 'Keys: ' + ', '.join(inside)}"
    )


def constructor_annotations(name: str, section: dict[str, Any]) -> dict[str, Any] | None:
    """Return the annotations of what a section's constructor takes; None: it takes anything."""
    target = section.get("_target_")
    if not isinstance(target, str) or not is_allowed(target):
        return {}
    try:
        found = constructors.read_signature(target)
    except ConfigError:
        return {}
    if found.open:
        return None
    return {key: p.annotation for key, p in found.parameters.items() if key not in BUILT[name]}


def check_target(name: str, section: dict[str, Any], known: list[str]) -> Iterator[str]:
    """A section whose `_target_` names a constructor of ours, of torch.optim or of a plugin."""
    target = section.get("_target_")
    if not isinstance(target, str) or not is_allowed(target):
        yield (
            f"{name}._target_={format_value(target)} is not allowed: it must begin with gantrain., "
            "torch.optim. or a package named in the environment variable GANTRAIN_PLUGINS."
        )
        return
    try:
        found = constructors.read_signature(target)
    except ConfigError as error:
        yield f"{name}.{error}"
        return
    own = {key: p for key, p in found.parameters.items() if key not in BUILT[name]}
    bounds = BOUNDS.get(name, {})
    fields = {key: _bounded(p.annotation, bounds.get(key)) for key, p in own.items()}
    rest = {key: value for key, value in section.items() if key != "_target_"}
    if found.open:
        fields = {**dict.fromkeys(rest, Any), **fields}
    required = {key for key, parameter in own.items() if parameter.required}
    yield from check_section(f"{name}.", rest, fields, required, known)
    yield from _nested_targets(f"{name}.", rest)


def _bounded(annotation: Any, bound: Range | None) -> Any:
    return annotation if bound is None else Annotated[annotation, bound]


def _nested_targets(prefix: str, node: Any) -> Iterator[str]:
    """A `_target_` further down would be refused by build: say so now."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list)):
            yield from _nested_targets(f"{prefix}{key}.", value)
        elif key == "_target_" and not (isinstance(value, str) and is_allowed(value)):
            yield f"{prefix}_target_={format_value(value)} is not allowed (see GANTRAIN_PLUGINS)."
