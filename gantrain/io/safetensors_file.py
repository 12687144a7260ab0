"""Exported .safetensors files: one network's tensors, which one it is, and a digest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gantrain import __version__
from gantrain.errors import ConfigError
from gantrain.io.tensors import DIGEST, digest

OWN_KEYS = {"gantrain", "network", "spec", DIGEST}


@dataclass(frozen=True)
class Content:
    """The content of a .safetensors file.

    Attributes:
        tensors: by name.
        network: the network that gantrain exported ("G", "ab", "ba"); None: another program's file.
        spec: how that network was built; {}: unknown.
    """

    tensors: dict[str, Tensor]
    network: str | None
    spec: dict[str, Any]


def to_bytes(name: str, tensors: dict[str, Tensor], spec: dict[str, Any]) -> bytes:
    """Return a file with the tensors of the network `name`."""
    from safetensors.torch import save

    about = {"gantrain": __version__, "network": name, "spec": json.dumps(spec, default=str)}
    return save(tensors, metadata={**about, DIGEST: _digest(about, tensors)})


def read(file: Path) -> Content | None:
    """Return the content of a file, or None if it is damaged or altered.

    Raises:
        ConfigError: the package for such files is missing.
    """
    try:
        from safetensors import safe_open
    except ImportError:
        raise ConfigError(
            f"{file}: reading .safetensors needs a package that is not installed: "
            "pip install 'gantrain[safetensors]'."
        ) from None
    try:
        with safe_open(file, framework="pt") as opened:
            about = dict(opened.metadata() or {})
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        if not about.keys() & OWN_KEYS:
            return Content(tensors, None, {})
        # One flipped bit may hide one of our keys, but not all of them.
        if about.pop(DIGEST, None) != _digest(about, tensors) or {*about, DIGEST} != OWN_KEYS:
            return None
        spec = json.loads(about["spec"])
    except Exception:  # the package has a different error class for each kind of damage
        return None
    return Content(tensors, about["network"], spec if isinstance(spec, dict) else {})


def _digest(about: dict[str, str], tensors: dict[str, Tensor]) -> str:
    text = json.dumps(about, sort_keys=True) + digest(tensors)
    return hashlib.sha256(text.encode()).hexdigest()
