"""A model as a folder for the Hugging Face Hub: model.safetensors, and config.json beside it.

config.json says how to rebuild the networks and what the images were: what a snapshot holds beside
its weights. Of a stranger's folder both files are data: nothing is unpickled.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantrain.errors import ConfigError, counted
from gantrain.io.files import atomic_write, write_text
from gantrain.io.plain_files import load_json

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = "gantrain-hub-1"
META = ("nimg", "ema", "model", "data", "versions", "tuned")  # of a snapshot, for others


class DamagedWeightsError(ConfigError):
    """The weights of a folder are not what was written."""


def find(path: Path) -> Path | None:
    """Return the folder of a model that `path` is, or whose weights it is; None: neither."""
    folder = path.parent if path.name == WEIGHTS else path
    return folder if all((folder / name).is_file() for name in (CONFIG, WEIGHTS)) else None


def write(
    folder: Path,
    specs: dict[str, dict[str, Any]],
    weights: dict[str, dict[str, Tensor]],
    meta: dict[str, Any],
) -> None:
    """Write both files.

    Args:
        folder: where to; created if it is missing.
        specs: how the networks are built, by name ("G", "ab"), see `gantrain.networks.spec`.
        weights: of the networks, by name.
        meta: of a snapshot. What could be a path or an address is left out.

    Raises:
        ConfigError: the description cannot be said in JSON.
    """
    from safetensors.torch import save

    from gantrain import __version__
    from gantrain.io.tensors import DIGEST, digest

    content = {
        "library_name": "gantrain",
        "format": FORMAT,
        "gantrain": __version__,
        "networks": specs,
        "meta": _without_places({key: meta[key] for key in META if key in meta}),
        DIGEST: digest(weights),
    }
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"The description of the networks cannot be written as JSON ({error}): their arguments "
            "must be plain values."
        ) from None
    # Networks may share a buffer, which the format does not allow.
    tensors = {
        f"{name}.{key}": x.detach().cpu().clone().contiguous()
        for name, state in weights.items()
        for key, x in state.items()
    }
    with atomic_write(folder / WEIGHTS) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    write_text(folder / CONFIG, text + "\n")


def read_config(file: Path) -> dict[str, Any]:
    """Return the content of a config.json, with the types of its parts checked.

    Raises:
        ConfigError: it is damaged, of another program, or holds what no config.json of gantrain
            does.
    """
    try:
        content = load_json(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} cannot be read ({error}): it must be as gantrain export format=hub writes it."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        other = content.get("library_name") if isinstance(content, dict) else None
        whose = f"it is of {other[:40]}" if isinstance(other, str) else "it is of another program"
        raise ConfigError(
            f"{file} describes no model of gantrain ({whose}): gantrain export format=hub writes "
            "such folders."
        )
    for key, kind in (("networks", dict), ("meta", dict), ("sha256", str)):
        if not isinstance(content.get(key), kind):
            raise ConfigError(f"{file} is damaged: its {key} is not what a model has.")
    if not all(map(math.isfinite, _numbers(content))):
        raise ConfigError(f"{file} is damaged: a number in it is not finite.")
    return content


def read(folder: Path) -> dict[str, Any]:
    """Return what a folder holds, in the parts of a snapshot: specs, weights and meta.

    Raises:
        DamagedWeightsError: the weights are damaged or altered.
        ConfigError: the description is damaged or of another program, or the package for
            .safetensors is missing.
    """
    from gantrain.io import safetensors_file
    from gantrain.io.tensors import DIGEST, digest

    config, file = read_config(folder / CONFIG), folder / WEIGHTS
    found = safetensors_file.read(file)
    if found is None:
        raise DamagedWeightsError(f"{file} is damaged: get it again.")
    weights: dict[str, dict[str, Tensor]] = {name: {} for name in config["networks"]}
    for key, tensor in found.tensors.items():
        name, _, rest = key.partition(".")
        if name not in weights:
            raise ConfigError(
                f"{file} holds the tensor {key[:80]!r}, and {CONFIG} names no such network."
            )
        weights[name][rest] = tensor
    if digest(weights) != config[DIGEST]:
        raise DamagedWeightsError(
            f"{file} is damaged or altered: its {counted(len(found.tensors), 'tensor')} do not "
            f"have the SHA-256 that {CONFIG} names. Get it again."
        )
    meta = {key: config["meta"][key] for key in META if key in config["meta"]}
    return {"specs": config["networks"], "weights": weights, "meta": meta}


def is_place(value: Any) -> bool:
    """Return whether a plain value is a path or an address of the web, or a list with one."""
    if isinstance(value, list | tuple):
        return any(map(is_place, value))
    if not isinstance(value, str):
        return False
    return bool(re.match(r"/|~|\\\\|[A-Za-z]:[\\/]", value)) or "://" in value


def _numbers(node: Any) -> Iterator[float]:
    """Yield the numbers of plain values, of bounded depth."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _numbers(value)
    elif isinstance(node, int | float):
        yield node


def _without_places(node: Any) -> Any:
    """Return plain values without entries that name a place: a path, or an address of the web."""
    if isinstance(node, dict):
        return {key: _without_places(x) for key, x in node.items() if not is_place(x)}
    return [*map(_without_places, node)] if isinstance(node, list | tuple) else node
