"""Match plain config values against annotations, and describe mismatches in words."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gantrain.errors import format_value, nearest
from gantrain.types import SHAPES, KimgPoints, KimgRamp, Points, Positive, Ramp, Range, Schedule

NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    dict: "a mapping",
}


def explain_mismatch(key: str, value: Any, annotation: Any) -> str | None:
    """Return a sentence about `key=value` if it does not fit `annotation`, else None.

    Args:
        key: the dotted key, for the sentence.
        value: a plain value.
        annotation: a type, a Literal, a union of them, or one of these in `Annotated[..., Range]`.
    """
    if accepts(value, annotation):
        return None
    setting = f"{key}={format_value(value)}"
    choices = _choices(annotation)
    if choices and not isinstance(value, (list, dict)):
        close = nearest(format_value(value), [format_value(choice) for choice in choices])
        hint = f"Did you mean {key}={close}? " if close else ""
        return f"{setting} is not a choice. {hint}Choices: {', '.join(map(format_value, choices))}."
    reason = "is out of range" if accepts(value, annotation, ranged=False) else "is not allowed"
    return f"{setting} {reason}: {key} must be {describe(annotation)}."


def accepts(
    value: Any, annotation: Any, *, bounds: tuple[Range, ...] = (), ranged: bool = True
) -> bool:
    """Return whether `value` fits `annotation`.

    Args:
        value: a plain value from a config.
        annotation: a typing object, such as `Annotated[int, Range(1)] | None`.
        bounds: ranges that every number in `value` must also lie in.
        ranged: False ignores `bounds` and every Range in the annotation.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if KimgPoints() in args:
            return _are_points(value, bounds if ranged else ())
        if KimgRamp() in args:
            return _is_ramp(value, bounds if ranged else ())
        ranges = tuple(item for item in args[1:] if isinstance(item, Range))
        return accepts(value, args[0], bounds=bounds + ranges, ranged=ranged)
    if origin in (Union, types.UnionType):
        return any(accepts(value, arg, bounds=bounds, ranged=ranged) for arg in args)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in args)
    if origin in (list, tuple) or annotation in (list, tuple):
        return _is_list(value, origin, args, bounds, ranged)
    return _fits_plain(value, origin or annotation, bounds if ranged else ())


def to_floats(value: Any, annotation: Any) -> Any:
    """Return `value` with floats for integers wherever the annotation takes only the former.

    Args:
        value: a plain value that fits the annotation.
        annotation: see `explain_mismatch`.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return to_floats(value, args[0])
    if origin in (Union, types.UnionType):
        if type(value) is int and int in args:
            return value
        fitting = [arg for arg in args if accepts(value, arg)]
        return to_floats(value, fitting[0]) if fitting else value
    if isinstance(value, (list, tuple)) and args and origin in (list, tuple):
        kinds = args if args[-1] is not Ellipsis else args[:1]
        kinds = kinds * len(value) if len(kinds) == 1 else kinds
        return [to_floats(item, kind) for item, kind in zip(value, kinds, strict=True)]
    return float(value) if type(value) is int and annotation is float else value


def _fits_plain(value: Any, kind: Any, bounds: tuple[Range, ...]) -> bool:
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        kinds = int if kind is int else (int, float)
        plain = isinstance(value, kinds) and not isinstance(value, bool)
        return plain and _is_finite(value) and all(value in bound for bound in bounds)
    if kind in (str, bool, dict):
        return isinstance(value, kind)
    return kind is Any


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _is_list(value: Any, origin: Any, args: tuple[Any, ...], bounds: Any, ranged: bool) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    if origin is tuple and args and args[-1] is not Ellipsis:
        pairs: Iterable[Any] = zip(value, args, strict=False)
        same_length = len(value) == len(args)
    else:
        pairs = ((item, args[0] if args else Any) for item in value)
        same_length = True
    return same_length and all(accepts(v, a, bounds=bounds, ranged=ranged) for v, a in pairs)


def _are_points(value: Any, bounds: tuple[Range, ...]) -> bool:
    pairs = list[tuple[float, float]]
    if not accepts(value, pairs) or not value:
        return False
    kimgs = [kimg for kimg, _ in value]
    rising = all(a < b for a, b in pairwise(kimgs))
    return rising and kimgs[0] >= 0 and all(v in bound for _, v in value for bound in bounds)


def _is_ramp(value: Any, bounds: tuple[Range, ...]) -> bool:
    if not isinstance(value, dict) or value.keys() != {"base", "final", "kimg", "shape"}:
        return False
    ends = all(_fits_plain(value[key], float, bounds) for key in ("base", "final"))
    return ends and accepts(value["kimg"], Positive | None) and value["shape"] in SHAPES


def takes_schedule(annotation: Any) -> bool:
    """Return whether a key takes a number or a schedule, so that it may hold a mapping."""
    ramp = {"base": 0.5, "final": 0.5, "kimg": None, "shape": "cosine"}
    return annotation is not Any and all(accepts(value, annotation) for value in (0.5, ramp))


def with_schedules(annotation: Any, bound: Range | None) -> Any:
    """Return the annotation with a schedule wherever it takes a number.

    Args:
        annotation: see `explain_mismatch`.
        bound: of the numbers. A schedule may also touch a lowest value that a constant must exceed:
            a learning rate may rise from 0, or end there.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is float:
        if bound is None:
            return Schedule
        moving = Annotated[Points | Ramp, replace(bound, open_low=False)]
        return Annotated[float, bound] | moving
    if origin is Annotated:
        return Annotated[(with_schedules(args[0], bound), *args[1:])]  # type: ignore[valid-type]
    if origin in (Union, types.UnionType):
        return Union[tuple(with_schedules(arg, bound) for arg in args)]  # noqa: UP007
    if origin in (list, tuple):
        return types.GenericAlias(origin, tuple(with_schedules(arg, bound) for arg in args))
    return annotation


def map_schedules(
    value: Any, annotation: Any, change: Callable[[str, Any], Any], key: str = ""
) -> Any:
    """Return a value with its schedules changed; constants stay as they are.

    Args:
        value: a plain value that fits the annotation.
        annotation: see `explain_mismatch`.
        change: (dotted key, points or ramp) -> the new schedule.
        key: of the value. Entries of a list are "key.0", "key.1", ...
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if KimgPoints() in args or KimgRamp() in args:
            return change(key, value)
        return map_schedules(value, args[0], change, key)
    if origin in (Union, types.UnionType):
        fitting = [arg for arg in args if accepts(value, arg)]
        return map_schedules(value, fitting[0], change, key) if fitting else value
    if isinstance(value, (list, tuple)) and args and origin in (list, tuple):
        kinds = args if len(args) == len(value) and args[-1] is not ... else args[:1] * len(value)
        items = enumerate(zip(value, kinds, strict=True))
        return [map_schedules(item, kind, change, f"{key}.{i}") for i, (item, kind) in items]
    return value


def describe(annotation: Any, bounds: tuple[Range, ...] = ()) -> str:
    """Describe the annotation in words, such as "an integer of at least 1 or null".

    Args:
        annotation: see `explain_mismatch`.
        bounds: the ranges that apply to its numbers.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    limits = "".join(f" {bound}" for bound in bounds if str(bound))
    if origin is Annotated:
        if KimgPoints() in args:
            return (
                f"points [[kimg, value], ...] with increasing kimg{limits and ', values'}{limits}"
            )
        if KimgRamp() in args:
            return "a ramp {base, final, kimg, shape: cosine or linear}"
        ranges = tuple(item for item in args[1:] if isinstance(item, Range))
        return describe(args[0], bounds + ranges)
    if origin in (Union, types.UnionType):
        words = [describe(arg, bounds) for arg in args if arg is not types.NoneType]
        return " or ".join(word for word in words + ["null"] * (types.NoneType in args) if word)
    if origin is Literal:
        return "one of " + ", ".join(map(format_value, args))
    if origin is tuple and args and args[-1] is not Ellipsis:
        return (
            f"a list of {len(args)} values: [" + ", ".join(describe(a, bounds) for a in args) + "]"
        )
    if origin in (list, tuple) or annotation in (list, tuple):
        return f"a list, each {describe(args[0], bounds)}" if args else "a list"
    if annotation in (int, float):
        return NAMES[annotation] + limits
    return "null" if annotation in (None, types.NoneType) else NAMES.get(origin or annotation, "")


def _choices(annotation: Any) -> list[Any]:
    """Return all allowed values if the annotation is a plain choice (or null), else []."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return list(args)
    if origin in (Union, types.UnionType):
        rest = [arg for arg in args if arg is not types.NoneType]
        choices = _choices(rest[0]) if len(rest) == 1 else []
        return [*choices, None] if choices and len(rest) < len(args) else choices
    return []
