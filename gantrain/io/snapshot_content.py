"""What a snapshot must hold: a stranger's file is data, and any of it may be wrong."""

from typing import Any

import torch
from torch import Tensor

MAX_FLOAT = torch.finfo(torch.float32).max


def find_fault(content: dict[str, Any]) -> str | None:
    """Return which part of a snapshot's content has the wrong type, or None."""
    specs, weights, meta = (content.get(key) for key in ("specs", "weights", "meta"))
    if not (isinstance(specs, dict) and specs and all(map(_is_spec, specs.values()))):
        return "list of networks"
    if not isinstance(weights, dict) or not all(_is_weights(weights.get(n)) for n in specs):
        return "list of weights"
    if not isinstance(meta, dict):
        return "description"
    for key in ("model", "data", "versions"):
        if not isinstance(meta.get(key, {}), dict):
            return f"description of {key}"
    if not isinstance(meta.get("model", {}).get("_target_", ""), str):
        return "description of model"
    data = meta.get("data", {})
    labels = data.get("labels")
    if labels is not None and not (isinstance(labels, dict) and _is_labels(labels)):
        return "description of labels"
    if not isinstance(data.get("depth", 8), int | str) or not _is_range(data.get("value_range")):
        return "description of data"
    if not _are_pixels(data):
        return "description of data"
    nimg = meta.get("nimg", 0)
    return None if isinstance(nimg, int) and _is_finite(nimg) else "count of images"


def _is_spec(spec: Any) -> bool:
    return (
        isinstance(spec, dict)
        and isinstance(spec.get("target"), str)
        and isinstance(spec.get("args"), dict)
        and all(isinstance(key, str) for key in spec["args"])
    )


def _is_weights(weights: Any) -> bool:
    return isinstance(weights, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    )


def _are_pixels(data: dict[str, Any]) -> bool:
    """Return whether the descriptions of pixels, of formats and of bands are what is written."""
    pixels, formats, show = (data.get(key) for key in ("pixels", "formats", "show"))
    own = pixels.values() if isinstance(pixels, dict) else [] if pixels is None else [None]
    return (
        all(
            isinstance(one, dict)
            and _is_range(one.get("value_range"))
            and isinstance(one.get("stacked", 1), int)
            and isinstance(one.get("alpha"), bool | None)
            for one in own
        )
        and (formats is None or (isinstance(formats, dict) and _are_formats(formats)))
        and (
            show is None
            or (isinstance(show, list) and all(isinstance(x, int) and x > 0 for x in show))
        )
    )


def _are_formats(formats: dict[str, Any]) -> bool:
    window = formats.get("window")
    return (
        formats.get("pages") in (None, "channels", "first", "each")
        and formats.get("array_layout") in (None, "hwc", "chw")
        and isinstance(formats.get("array_name"), str | None)
        and formats.get("slices") in (None, 0, 1, 2)
        and (window in (None, "file") or _is_range(window))
    )


def _is_range(values: Any) -> bool:
    """Return whether a value is None, or two numbers."""
    return values is None or (
        isinstance(values, list | tuple) and len(values) == 2 and all(map(_is_finite, values))
    )


def _is_labels(labels: dict[str, Any]) -> bool:
    names, examples = labels.get("names", []), labels.get("examples", [])
    return (
        _is_examples(examples, labels.get("dim"))
        and isinstance(labels.get("dim", 0), int)
        and isinstance(labels.get("kind", ""), str)
        and isinstance(names, list | tuple)
        and all(isinstance(name, str) for name in names)
    )


def _is_examples(examples: Any, dim: Any) -> bool:
    return isinstance(examples, list) and all(
        isinstance(label, list) and len(label) == dim and all(map(_is_finite, label))
        for label in examples
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= MAX_FLOAT  # False for NaN


def fit_labels(labels: dict[str, Any], dim: int) -> bool:
    """Return whether a description of labels is that of a network's labels of `dim` entries."""
    names = labels.get("names", ())
    # What a network without labels is told about them is not used.
    return not dim or (labels.get("dim", dim) == dim and len(names) in (0, dim))
